#include "data/chat/chat_format.h"
#include "data/prepare_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/folder.h"
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

TEST(Chat, TrainsWhatTheRolesAndTheMessagesSay) {
  Conversation talk{{{"system", "s"}, {"user", "q"}, {"assistant", "a"}}};
  using Trained = std::vector<bool>;
  EXPECT_EQ(trained_messages(talk, {"assistant"}), Trained());
  EXPECT_EQ(trained_messages(talk, {"assistant", "user"}), (Trained{false, true, true}));
  EXPECT_EQ(trained_messages(talk, {}), (Trained{false, false, false}));
  talk.messages[0].train = true;
  talk.messages[2].train = false;
  EXPECT_EQ(trained_messages(talk, {"assistant"}), (Trained{true, false, false}));
}

// What is trained of a conversation, as text: parts with | between.
std::string trained_text(const Tokenizer& tokenizer, const Conversation& talk, const char* format,
                         std::vector<std::string> roles = {"assistant"}) {
  const RenderedChat rendered =
      ChatFormat(tokenizer, format, std::move(roles)).render(talk, false, true);
  const MaskedIds masked = tokenize_chat(tokenizer, rendered, true);
  std::string text;
  for (size_t i = 0; i < masked.ids.size(); ++i) {
    if (!masked.mask[i]) continue;
    if (!text.empty() && !masked.mask[i - 1]) text += "|";
    text += tokenizer.decode({masked.ids[i]}, false);
  }
  return text;
}

TEST(Chat, TrainsAnyRoleToTheEndOfItsTurn) {
  if (!have_shared("data/tokenizers/minimind")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/tokenizers/minimind"));
  Conversation talk{{{"system", "Be kind."},
                     {"user", "user"},
                     {"assistant", "One."},
                     {"user", "Bye"},
                     {"assistant", "Two."}}};
  EXPECT_EQ(trained_text(tokenizer, talk, "chatml"), "One.<|im_end|>\n|Two.<|im_end|>\n");
  EXPECT_EQ(trained_text(tokenizer, talk, "chatml", {"user"}), "user<|im_end|>\n|Bye<|im_end|>\n");
  EXPECT_EQ(trained_text(tokenizer, talk, "chatml", {"system", "assistant"}),
            "Be kind.<|im_end|>\n|One.<|im_end|>\n|Two.<|im_end|>\n");
  talk.messages[2].train = false;
  talk.messages[3].train = true;
  EXPECT_EQ(trained_text(tokenizer, talk, "chatml"), "Bye<|im_end|>\n|Two.<|im_end|>\n");
  // A template that writes the system text into the first question: only its content is known.
  EXPECT_EQ(trained_text(tokenizer, talk, "llama2", {"system"}).substr(0, 8), "Be kind.");
}

TEST(Chat, AnEndOfTurnThatIsAlsoThePadTokenIsTrained) {
  if (!have_shared("data/tokenizers/minimind")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  TestFolder folder;
  std::filesystem::copy(shared_path("data/tokenizers/minimind/tokenizer.json"),
                        folder / "tokenizer.json");
  write_text(folder / "tokenizer_config.json",
             R"({"pad_token": "<|im_end|>", "eos_token": "<|im_end|>"})");
  const Tokenizer tokenizer(folder.path());
  ASSERT_EQ(tokenizer.pad(), tokenizer.eos());
  EXPECT_EQ(trained_text(tokenizer, kTalk, "chatml"), "Hello!<|im_end|>\n");
}

TEST(Chat, RefusesADoubledBeginning) {
  if (!have_shared("data/tokenizers/llama2")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  TestFolder folder;
  std::filesystem::copy(shared_path("data/tokenizers/llama2/tokenizer.json"),
                        folder / "tokenizer.json");
  write_text(folder / "tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>"})");
  const Tokenizer tokenizer(folder.path());
  ASSERT_EQ(tokenizer.encode("a", true)[0], tokenizer.bos());
  const auto prepare = [&](const std::string& text) {
    return prepare_record({TextRecord{text}, 1}, {.files = {}}, tokenizer, std::nullopt);
  };
  EXPECT_NO_THROW(prepare("a<s>"));
  EXPECT_THAT([&] { prepare("<s>a"); },
              testing::ThrowsMessage<std::invalid_argument>(
                  testing::HasSubstr("begins with the bos token <s> twice")));
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
