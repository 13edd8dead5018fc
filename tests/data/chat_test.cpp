#include "data/tokenize/chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/shared.h"

namespace lathe {
namespace {

const std::vector<Message> kTalk = {
    {"system", "Be kind."}, {"user", "Hi"}, {"assistant", "Hello!"}, {"user", "Bye"}};

TEST(Chat, RendersChatMl) {
  const Rendered rendered = render_chat("chatml", kTalk, true);
  EXPECT_EQ(rendered.text,
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>"
            "assistant\n");
  ASSERT_EQ(rendered.trained.size(), 1u);
  const auto [begin, end] = rendered.trained[0];
  EXPECT_EQ(rendered.text.substr(begin, end - begin), "Hello!<|im_end|>\n");
}

TEST(Chat, RefusesAnUnknownTemplateAndAnUnknownRole) {
  EXPECT_THROW(render_chat("nonsense", kTalk, false), std::invalid_argument);
  EXPECT_THROW(render_chat("chatml", {{"robot", "beep"}}, false), std::invalid_argument);
}

TEST(Chat, TrainsOnlyTheAnswersTokens) {
  if (!have_shared("data/tokenizers/minimind")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/tokenizers/minimind"));
  const MaskedIds masked = tokenize_chat(tokenizer, render_chat("chatml", kTalk, false), true);
  std::vector<int32_t> trained;
  for (size_t i = 0; i < masked.ids.size(); ++i) {
    if (masked.mask[i]) trained.push_back(masked.ids[i]);
  }
  EXPECT_EQ(tokenizer.decode(trained, false), "Hello!<|im_end|>\n");
  const MaskedIds all = tokenize_chat(tokenizer, render_chat("chatml", kTalk, false), false);
  EXPECT_EQ(all.ids, masked.ids);
  EXPECT_THAT(all.mask, testing::Each(1));
}

TEST(Chat, WorksWithATokenizerThatHasNoChatTokens) {
  if (!have_shared("data/models/stories260K-hf")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/models/stories260K-hf"));
  const Rendered rendered = render_chat("chatml", kTalk, false);
  const MaskedIds masked = tokenize_chat(tokenizer, rendered, true);
  EXPECT_EQ(tokenizer.decode(masked.ids, false), rendered.text);
}

}  // namespace
}  // namespace lathe
