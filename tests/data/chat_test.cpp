#include "data/prepare_record.h"
#include "data/tokenize/chat_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/shared.h"

namespace lathe {
namespace {

const Conversation kTalk{
    {{"system", "Be kind."}, {"user", "Hi"}, {"assistant", "Hello!"}, {"user", "Bye"}}};

TEST(Chat, TrainsOnlyTheAnswersTokens) {
  if (!have_shared("data/tokenizers/minimind")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/tokenizers/minimind"));
  const RenderedChat rendered = ChatFormat(tokenizer, "chatml").render(kTalk, false, true);
  const MaskedIds masked = tokenize_chat(tokenizer, rendered, true);
  std::vector<int32_t> trained;
  for (size_t i = 0; i < masked.ids.size(); ++i) {
    if (masked.mask[i]) trained.push_back(masked.ids[i]);
  }
  EXPECT_EQ(tokenizer.decode(trained, false), "Hello!<|im_end|>\n");
  const MaskedIds all = tokenize_chat(tokenizer, rendered, false);
  EXPECT_EQ(all.ids, masked.ids);
  EXPECT_THAT(all.mask, testing::Each(1));
}

TEST(Chat, WorksWithATokenizerThatHasNoChatTokens) {
  if (!have_shared("data/models/stories260K-hf")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/models/stories260K-hf"));
  const RenderedChat rendered = ChatFormat(tokenizer, "chatml").render(kTalk, false, true);
  const MaskedIds masked = tokenize_chat(tokenizer, rendered, true);
  EXPECT_EQ(tokenizer.decode(masked.ids, false), rendered.text);
}

TEST(Chat, MarksThatAreNotKnownAreAnErrorThatSaysWhatToDo) {
  if (!have_shared("data/models/stories260K-hf")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/models/stories260K-hf"));
  const RenderedChat rendered{"Hi", {}, "no one can tell"};
  EXPECT_THAT([&] { tokenize_chat(tokenizer, rendered, true); },
              testing::ThrowsMessage<std::invalid_argument>(
                  testing::AllOf(testing::HasSubstr("no one can tell"),
                                 testing::HasSubstr("set data.assistant_only_loss to false"))));
  EXPECT_THAT(tokenize_chat(tokenizer, rendered, false).mask, testing::Each(1));
}

TEST(Chat, LeavesOutTheTurnsThatTheRecordSaysNotToTrain) {
  Conversation talk{{{"user", "q"}, {"assistant", "a"}, {"user", "q"}, {"assistant", "b"}}};
  RenderedChat rendered{"qaqb", {{1, 2}, {3, 4}}, ""};
  talk.messages[1].train = false;
  drop_untrained(talk, rendered);
  EXPECT_EQ(rendered.assistant, (std::vector<std::pair<size_t, size_t>>{{3, 4}}));
  EXPECT_THAT([&] { drop_untrained(talk, rendered); },
              testing::ThrowsMessage<std::invalid_argument>(
                  testing::HasSubstr("2 turns of the assistant, but the template marks 1")));
  talk.messages[0].train = true;
  EXPECT_THAT([&] { drop_untrained(talk, rendered); },
              testing::ThrowsMessage<std::invalid_argument>(
                  testing::HasSubstr("messages[0]: asks to be trained on")));
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

// With the template that the model's folder brings, and with the built-in ChatML.
class ChatOfTrl : public testing::TestWithParam<const char*> {};

TEST_P(ChatOfTrl, TrainsTheTokensThatTrlTrains) {
  if (!have_shared("fixtures/trl/sft")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("fixtures/trl/model"));
  const std::optional<ChatFormat> format(std::in_place, tokenizer, GetParam());
  const Tensors batches(shared_path("fixtures/trl/sft/batches.safetensors"));
  std::ifstream file(shared_path("fixtures/trl/sft/data.jsonl"));
  int num_rows = 0;
  for (std::string line; num_rows < 40 && std::getline(file, line); ++num_rows) {
    const auto record = nlohmann::json::parse(line);
    Conversation talk;
    size_t num_answers = 0;
    for (const char* part : {"prompt", "completion"}) {
      for (const auto& message : record.at(part)) {
        talk.messages.push_back({message.at("role"), message.at("content")});
        num_answers += talk.messages.back().role == "assistant";
      }
    }
    RenderedChat rendered = format->render(talk, false, true);
    ASSERT_EQ(rendered.assistant.size(), num_answers);
    rendered.assistant.erase(rendered.assistant.begin(),
                             rendered.assistant.end() - 1);  // earlier answers are prompt here
    const MaskedIds masked = tokenize_chat(tokenizer, rendered, true);
    const std::string batch =
        "step" + std::to_string(num_rows / 4) + ".micro" + std::to_string(num_rows / 2 % 2);
    const std::vector<int64_t> ids = batches.row(batch + ".input_ids", num_rows % 2);
    const std::vector<int64_t> labels = batches.row(batch + ".labels", num_rows % 2);
    const std::vector<int64_t> there = batches.row(batch + ".attention_mask", num_rows % 2);
    const PreparedRecord prepared = prepare_record(
        {ChatRecord{talk, record.at("prompt").size()}, 1}, {.files = {}}, tokenizer, format);
    ASSERT_EQ(prepared.ids, masked.ids) << line;
    ASSERT_EQ(prepared.mask, masked.mask) << line;
    ASSERT_EQ(masked.ids.size(), static_cast<size_t>(std::count(there.begin(), there.end(), 1)))
        << line;
    for (size_t i = 0; i < masked.ids.size(); ++i) {
      ASSERT_EQ(masked.ids[i], ids[i]) << line;
      ASSERT_EQ(masked.mask[i] ? masked.ids[i] : -100, labels[i]) << i << ": " << line;
    }
  }
  EXPECT_EQ(num_rows, 40);
}

INSTANTIATE_TEST_SUITE_P(Templates, ChatOfTrl, testing::Values("auto", "chatml"));

}  // namespace
}  // namespace lathe
