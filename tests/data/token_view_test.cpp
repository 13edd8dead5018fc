#include "data/tokenize/token_view.h"

#include <gtest/gtest.h>

#include "tests/shared.h"

namespace lathe {
namespace {

std::vector<std::string> texts_of(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, false);
  return token_texts(tokenizer, std::vector<int64_t>(ids.begin(), ids.end()));
}

TEST(TokenView, BytesStandWhereTheirTokenStands) {
  if (!have_shared("data/tokenizers/llama2")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/tokenizers/llama2"));
  EXPECT_EQ(texts_of(tokenizer, "a\n\nb"), (std::vector<std::string>{"a", "\n", "\n", "b"}));
  EXPECT_EQ(texts_of(tokenizer, "a\n"), (std::vector<std::string>{"a", "\n"}));
  // Four bytes, one character: at the last of its tokens.
  EXPECT_EQ(texts_of(tokenizer, "a\xF0\x9F\xA6\x99z").back(), "z");
}

TEST(TokenView, TheTextsPutTogetherAreTheDecodedText) {
  if (!have_shared("data/tokenizers/llama2")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const char* name : {"llama2", "gpt2", "qwen2"}) {
    const Tokenizer tokenizer(shared_path(std::string("data/tokenizers/") + name));
    for (const char* text :
         {"", "Hello, world\n\n", "\n\xF0\x9F\xA6\x99\n\xE4\xBD\xA0\t.", "a  b\x01"}) {
      const std::vector<int32_t> ids = tokenizer.encode(text, false);
      std::string all;
      for (const std::string& one : texts_of(tokenizer, text)) all += one;
      EXPECT_EQ(all, tokenizer.decode(ids, false)) << name;
    }
    // Bytes that are no text.
    const std::vector<int64_t> bytes = {3 + 0xF0, 3 + 0x9F, 3 + 10};
    std::string all;
    for (const std::string& one : token_texts(tokenizer, bytes)) all += one;
    EXPECT_EQ(all, tokenizer.decode({bytes.begin(), bytes.end()}, false)) << name;
  }
}

}  // namespace
}  // namespace lathe
