#include "data/chat/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/jinja/text.h"
#include "data/shards/file.h"
#include "tests/shared.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;
using Spans = std::vector<std::pair<size_t, size_t>>;

std::vector<Json> golden_records() {
  std::vector<Json> records;
  std::ifstream file(shared_path("data/chat-templates/golden.jsonl"));
  for (std::string line; std::getline(file, line);) records.push_back(Json::parse(line));
  return records;
}

Json context_of(const Json& record) {
  return {{"messages", record["messages"]},
          {"tools", record["tools"]},
          {"bos_token", record["bos_token"]},
          {"eos_token", record["eos_token"]}};
}

ChatOptions with_prompt(bool generation_prompt) {
  ChatOptions options;
  options.now = std::tm{};
  options.now->tm_year = 124;
  options.now->tm_mon = 6;
  options.now->tm_mday = 26;
  options.generation_prompt = generation_prompt;
  return options;
}

// The goldens count characters.
Spans in_characters(const std::string& text, const Spans& bytes) {
  Spans spans;
  for (const auto& [begin, end] : bytes) {
    spans.emplace_back(jinja::count_characters(text.substr(0, begin)),
                       jinja::count_characters(text.substr(0, end)));
  }
  return spans;
}

TEST(ChatTemplate, RendersEveryGoldenRecordByteForByte) {
  if (!have_shared("data/chat-templates/golden.jsonl"))
    GTEST_SKIP() << "NOT RUN: ../shared is not there";
  std::map<std::string, ChatTemplate> templates;
  int rendered = 0, refused = 0, marked = 0;
  for (const Json& record : golden_records()) {
    const std::string name = record["template"];
    SCOPED_TRACE(name + " " + record["conversation"].get<std::string>());
    const std::string source = read_file(shared_path("data/chat-templates/" + name));
    const ChatTemplate& chat = templates.try_emplace(name, source, name).first->second;
    const ChatOptions options = with_prompt(record["add_generation_prompt"]);
    if (record.contains("error")) {
      try {
        chat.render(context_of(record), options);
        ADD_FAILURE() << "rendered what the reference refuses";
      } catch (const jinja::Error& error) {
        EXPECT_EQ(error.message(), record["error"].get<std::string>());
        ++refused;
      }
      continue;
    }
    const RenderedChat got = chat.render(context_of(record), options);
    EXPECT_EQ(got.text, record["rendered"].get<std::string>());
    ++rendered;
    if (record.contains("assistant_char_spans")) {
      EXPECT_EQ(got.unmarked, "");
      EXPECT_EQ(in_characters(got.text, got.assistant),
                record["assistant_char_spans"].get<Spans>());
      ++marked;
    }
  }
  EXPECT_EQ(rendered, 374);
  EXPECT_EQ(refused, 40);
  EXPECT_EQ(marked, 64);
}

Json conversation(std::initializer_list<std::pair<const char*, const char*>> messages) {
  Json list = Json::array();
  for (const auto& [role, content] : messages)
    list.push_back({{"role", role}, {"content", content}});
  return {{"messages", list}, {"bos_token", "<s>"}, {"eos_token", "</s>"}};
}

std::vector<std::string> spoken(const RenderedChat& chat) {
  std::vector<std::string> parts;
  for (const auto& [begin, end] : chat.assistant)
    parts.push_back(chat.text.substr(begin, end - begin));
  return parts;
}

using Texts = std::vector<std::string>;

// A family's built-in template against the template of the same family in the goldens, marks
// included.
void expect_same_as_golden(const std::string& name, const std::string& golden,
                           const std::set<std::string>& conversations, int expected) {
  const ChatTemplate builtin = builtin_chat_template(name);
  int compared = 0;
  for (const Json& record : golden_records()) {
    if (record["template"] != golden || !conversations.contains(record["conversation"])) continue;
    SCOPED_TRACE(name + " " + record["conversation"].get<std::string>());
    const ChatOptions options = with_prompt(record["add_generation_prompt"]);
    ++compared;
    if (record.contains("error")) {
      EXPECT_THROW(builtin.render(context_of(record), options), jinja::Raised);
      continue;
    }
    const RenderedChat got = builtin.render(context_of(record), options);
    EXPECT_EQ(got.text, record["rendered"].get<std::string>());
    if (record.contains("assistant_char_spans")) {
      EXPECT_EQ(in_characters(got.text, got.assistant),
                record["assistant_char_spans"].get<Spans>());
    }
  }
  EXPECT_EQ(compared, expected) << name;
}

TEST(ChatTemplate, BuiltinsEqualTheGoldensOfTheirFamily) {
  if (!have_shared("data/chat-templates/golden.jsonl"))
    GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::set<std::string> plain{"user",         "system_user",         "multi",
                                    "system_multi", "ends_with_assistant", "think"};
  std::set<std::string> odd = plain;
  odd.insert({"tools_decl", "not_alternating"});
  expect_same_as_golden("llama3", "llama3_training.jinja", odd, 16);
  expect_same_as_golden("gemma", "gemma_training.jinja", odd, 16);
  expect_same_as_golden("phi3", "phi3_training.jinja", odd, 16);
  // Qwen's template is ChatML where a system message is given.
  expect_same_as_golden("chatml", "qwen2_5.jinja", {"system_user", "system_multi"}, 4);
  expect_same_as_golden("chatml", "qwen3.jinja", {"user", "system_user", "not_alternating"}, 6);
}

TEST(ChatTemplate, BuiltinsWithoutGoldensRenderTheirFormat) {
  const Json chat = conversation(
      {{"system", "S"}, {"user", "U"}, {"assistant", "A"}, {"user", "V"}, {"assistant", "B"}});
  const auto render = [&](const char* name) { return builtin_chat_template(name).render(chat); };
  EXPECT_EQ(render("llama2").text,
            "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST] B </s>");
  EXPECT_EQ(spoken(render("llama2")), (Texts{" A </s>", " B </s>"}));
  EXPECT_EQ(render("mistral").text, "<s>[INST] S\n\nU [/INST] A</s>[INST] V [/INST] B</s>");
  EXPECT_EQ(render("zephyr").text,
            "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</"
            "s>\n<|assistant|>\nB</s>\n");
  EXPECT_EQ(spoken(render("zephyr")), (Texts{"A</s>\n", "B</s>\n"}));
  EXPECT_EQ(render("alpaca").text,
            "<s>S\n\n### Instruction:\nU\n\n### Response:\nA</s>\n\n### Instruction:\nV\n\n### "
            "Response:\nB</s>");
  EXPECT_EQ(spoken(render("alpaca")), (Texts{"A</s>", "B</s>"}));
  EXPECT_EQ(spoken(render("chatml")), (Texts{"A<|im_end|>\n", "B<|im_end|>\n"}));
  EXPECT_EQ(builtin_chat_template_names().size(), 8u);
}

// What the model continues at generation is where the marked text began in training.
TEST(ChatTemplate, EveryBuiltinPromptEndsWhereTheAssistantBegins) {
  const Json asked = conversation({{"user", "U"}});
  const Json answered = conversation({{"user", "U"}, {"assistant", "A"}});
  for (const std::string& name : builtin_chat_template_names()) {
    const RenderedChat prompt = builtin_chat_template(name).render(asked, with_prompt(true));
    const RenderedChat whole = builtin_chat_template(name).render(answered);
    ASSERT_FALSE(whole.assistant.empty()) << name;
    EXPECT_EQ(whole.text.substr(0, whole.assistant[0].first), prompt.text) << name;
  }
}

// The templates without generation blocks, marked by prefixes, agree with those that TRL made of
// them.
TEST(ChatTemplate, PrefixesMarkWhatGenerationBlocksMark) {
  if (!have_shared("data/chat-templates/golden.jsonl"))
    GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int compared = 0;
  for (const std::string family : {"llama3", "gemma", "gemma3"}) {
    const std::string folder = shared_path("data/chat-templates/") + family;
    const ChatTemplate plain(read_file(folder + ".jinja"), family);
    for (const Json& record : golden_records()) {
      if (record["template"] != family + "_training.jinja" || record.contains("error")) continue;
      if (record["conversation"] == "tools_call") continue;
      const RenderedChat got =
          plain.render(context_of(record), with_prompt(record["add_generation_prompt"]));
      ASSERT_EQ(got.unmarked, "") << family;
      EXPECT_EQ(in_characters(got.text, got.assistant),
                record.value("assistant_char_spans", Spans()))
          << family;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 40);
}

// Qwen3 leaves out of earlier turns what they thought. Its training template does not, and marks
// the turns: what is said there, less the empty thoughts, is what is found here.
TEST(ChatTemplate, LandmarksMarkTurnsThatAreRewritten) {
  if (!have_shared("data/chat-templates/golden.jsonl"))
    GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const ChatTemplate plain(read_file(shared_path("data/chat-templates/qwen3.jinja")), "qwen3");
  const std::string no_thought = "<think>\n\n</think>\n\n";
  int compared = 0;
  for (const Json& record : golden_records()) {
    if (record["template"] != "qwen3_training.jinja" || record.contains("error")) continue;
    const RenderedChat training =
        ChatTemplate(read_file(shared_path("data/chat-templates/qwen3_training.jinja")), "training")
            .render(context_of(record), with_prompt(record["add_generation_prompt"]));
    const RenderedChat got =
        plain.render(context_of(record), with_prompt(record["add_generation_prompt"]));
    ASSERT_EQ(got.unmarked, "") << record["conversation"];
    Texts expected = spoken(training), found = spoken(got);
    ASSERT_EQ(found.size(), expected.size()) << record["conversation"];
    for (size_t i = 0; i < found.size(); ++i) {
      const size_t thought = expected[i].find("</think>\n\n");
      if (!found[i].starts_with("<think>")) expected[i].erase(0, thought + 10);
    }
    EXPECT_EQ(found, expected) << record["conversation"];
    compared += found.size() > 1;
  }
  EXPECT_EQ(compared, 8);
}

TEST(ChatTemplate, AMessageThatHoldsALandmarkIsNotGuessedAt) {
  if (!have_shared("data/chat-templates/golden.jsonl"))
    GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const ChatTemplate plain(read_file(shared_path("data/chat-templates/qwen3.jinja")), "qwen3");
  const Json chat = conversation({{"user", "What does <|im_start|>assistant mean?"},
                                  {"assistant", "A"},
                                  {"user", "V"},
                                  {"assistant", "B"}});
  EXPECT_NE(plain.render(chat).unmarked, "");
}

TEST(ChatTemplate, ATurnInTheMiddleIsWithoutTheClosingEos) {
  const std::string source =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
      "{{ '<assistant>' if add_generation_prompt else eos_token }}";
  const Json chat =
      conversation({{"user", "U"}, {"assistant", "A"}, {"user", "V"}, {"assistant", "B"}});
  EXPECT_EQ(spoken(ChatTemplate(source, "t").render(chat)), (Texts{"A", "B</s>"}));
  EXPECT_EQ(spoken(ChatTemplate(source, "t").render(chat, with_prompt(true))), (Texts{"A", "B"}));
}

TEST(ChatTemplate, SaysWhyTurnsCanNotBeMarked) {
  const std::string source =
      "{% for m in messages %}{{ m.content if loop.last or m.role == 'user' else '...' }}{% endfor "
      "%}";
  const Json chat =
      conversation({{"user", "U"}, {"assistant", "A"}, {"user", "V"}, {"assistant", "B"}});
  const RenderedChat got = ChatTemplate(source, "t").render(chat);
  EXPECT_EQ(got.text, "U...VB");
  EXPECT_TRUE(got.assistant.empty());
  EXPECT_NE(got.unmarked.find("where message 1 ends can not be found"), std::string::npos)
      << got.unmarked;
}

TEST(ChatTemplate, PassesOtherVariablesAndTheToolsOfHuggingFace) {
  Json chat = conversation({{"user", "U"}});
  const ChatTemplate source(
      "{{ tools is none }}{{ documents is none }}{{ enable_thinking is defined }}", "t");
  EXPECT_EQ(source.render(chat).text, "TrueTrueFalse");
  chat["enable_thinking"] = false;
  chat["tools"] = Json::array({1});
  EXPECT_EQ(source.render(chat).text, "FalseTrueTrue");
}

TEST(ChatTemplate, RefusesWhatIsNoConversation) {
  const ChatTemplate source("x", "my.jinja");
  EXPECT_THROW(source.render(Json::object()), std::invalid_argument);
  EXPECT_THROW(source.render({{"messages", "x"}}), std::invalid_argument);
  EXPECT_THROW(builtin_chat_template("frob"), std::invalid_argument);
}

TEST(ChatTemplate, ReadsTheTemplatesOfRealTokenizerConfigs) {
  if (!have_shared("data/tokenizers/qwen3")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int rendered = 0;
  for (const char* name : {"minimind", "phi3", "qwen2", "qwen2.5", "qwen3", "torchtitan-2k"}) {
    const std::string path =
        shared_path(std::string("data/tokenizers/") + name + "/tokenizer_config.json");
    const Json config = Json::parse(read_file(path));
    Json chat = conversation({{"user", "U"}, {"assistant", "A"}});
    const ChatTemplate source(config["chat_template"].get<std::string>(), path);
    const RenderedChat got = source.render(chat);
    EXPECT_NE(got.text.find("A"), std::string::npos);
    ++rendered;
  }
  EXPECT_EQ(rendered, 6);
}

}  // namespace
}  // namespace lathe
