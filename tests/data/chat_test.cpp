#include "data/tokenize/chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
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

struct Tensors {
  nlohmann::json header;
  std::string bytes;

  explicit Tensors(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    uint64_t size = 0;
    file.read(reinterpret_cast<char*>(&size), sizeof size);
    std::string text(size, ' ');
    file.read(text.data(), static_cast<std::streamsize>(size));
    header = nlohmann::json::parse(text);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  // Row r of a matrix of int64.
  std::vector<int64_t> row(const std::string& name, size_t r) const {
    const auto& tensor = header.at(name);
    const size_t width = tensor.at("shape")[1], begin = tensor.at("data_offsets")[0];
    std::vector<int64_t> result(width);
    std::memcpy(result.data(), bytes.data() + begin + r * width * sizeof(int64_t),
                width * sizeof(int64_t));
    return result;
  }
};

TEST(Chat, TrainsTheTokensThatTrlTrains) {
  if (!have_shared("fixtures/trl/sft")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("fixtures/trl/model"));
  const Tensors batches(shared_path("fixtures/trl/sft/batches.safetensors"));
  std::ifstream file(shared_path("fixtures/trl/sft/data.jsonl"));
  int num_rows = 0;
  for (std::string line; num_rows < 40 && std::getline(file, line); ++num_rows) {
    const auto record = nlohmann::json::parse(line);
    std::vector<Message> talk;
    size_t num_answers = 0;
    for (const char* part : {"prompt", "completion"}) {
      for (const auto& message : record.at(part)) {
        talk.push_back({message.at("role"), message.at("content")});
        num_answers += talk.back().role == "assistant";
      }
    }
    Rendered rendered = render_chat("chatml", talk, false);
    ASSERT_EQ(rendered.trained.size(), num_answers);
    rendered.trained.erase(rendered.trained.begin(),
                           rendered.trained.end() - 1);  // earlier answers are prompt here
    const MaskedIds masked = tokenize_chat(tokenizer, rendered, true);
    const std::string batch =
        "step" + std::to_string(num_rows / 4) + ".micro" + std::to_string(num_rows / 2 % 2);
    const std::vector<int64_t> ids = batches.row(batch + ".input_ids", num_rows % 2);
    const std::vector<int64_t> labels = batches.row(batch + ".labels", num_rows % 2);
    const std::vector<int64_t> there = batches.row(batch + ".attention_mask", num_rows % 2);
    ASSERT_EQ(masked.ids.size(), static_cast<size_t>(std::count(there.begin(), there.end(), 1)))
        << line;
    for (size_t i = 0; i < masked.ids.size(); ++i) {
      ASSERT_EQ(masked.ids[i], ids[i]) << line;
      ASSERT_EQ(masked.mask[i] ? masked.ids[i] : -100, labels[i]) << i << ": " << line;
    }
  }
  EXPECT_EQ(num_rows, 40);
}

}  // namespace
}  // namespace lathe
