// tokenize and render as a script meets them: JSON lines in and out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/data/folder.h"
#include "tests/run_program.h"
#include "tests/shared.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

class TextVerbs : public testing::Test {
 protected:
  void SetUp() override {
    if (!have_shared("data/tokenizers/golden")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  }
  // What the verb writes for the lines.
  std::vector<Json> answers(const std::string& verb, const std::string& lines) {
    write_text(folder_ / "in.jsonl", lines);
    const ProgramResult result =
        run_lathe(verb + " --input " + folder_ / "in.jsonl" + " --output " + folder_ / "out.jsonl");
    EXPECT_EQ(result.code, 0) << result.output;
    return lines_of(read_file(folder_ / "out.jsonl"));
  }
  static std::string tokenizer(const std::string& name) {
    return " --tokenizer " + shared_path("data/tokenizers/" + name);
  }
  TestFolder folder_;
};

TEST_F(TextVerbs, TokenizeGivesTheGoldenIds) {
  int num_texts = 0;
  for (const auto& [name, golden] :
       std::map<std::string, std::string>{{"gpt2", "gpt2"},
                                          {"qwen2", "qwen2"},
                                          {"minimind", "minimind"},
                                          {"llama2", "llama2_dolma_fixture"},
                                          {"phi3", "phi3"},
                                          {"torchtitan-2k/tokenizer.json", "torchtitan_test"}}) {
    const std::string texts = read_file(shared_path("data/tokenizers/golden/" + golden + ".jsonl"));
    const std::vector<Json> want = lines_of(texts);
    const std::vector<Json> got = answers("tokenize --no-special" + tokenizer(name), texts);
    ASSERT_EQ(got.size(), want.size()) << name;
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(got[i], (Json{{"ids", want[i]["ids"]}})) << name << " " << want[i]["text"];
      ++num_texts;
    }
  }
  EXPECT_EQ(num_texts, 6 * 292);
}

TEST_F(TextVerbs, DecodeIsTheWayBack) {
  const std::string texts = read_file(shared_path("data/tokenizers/golden/minimind.jsonl"));
  const std::vector<Json> want = lines_of(texts),
                          got = answers("tokenize --decode" + tokenizer("minimind"), texts);
  ASSERT_EQ(got.size(), 292u);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], (Json{{"text", want[i]["text"]}}));
  EXPECT_THAT(
      run_lathe("tokenize --decode --input " + folder_ / "bad.jsonl" + tokenizer("minimind"))
          .output,
      HasSubstr("can not open"));
  write_text(folder_ / "bad.jsonl", "{\"ids\": [1, 6400]}\n");
  const ProgramResult bad =
      run_lathe("tokenize --decode --input " + folder_ / "bad.jsonl" + tokenizer("minimind"));
  EXPECT_EQ(bad.code, 65);
  EXPECT_THAT(
      bad.output,
      HasSubstr("bad.jsonl:1: ids[1]: found 6400, expected an id of the tokenizer, 0 to 6399"));
}

TEST_F(TextVerbs, RawIsOneTextAndADashIsTheTerminal) {
  write_text(folder_ / "text.txt", "one\r\ntwo\n");
  const ProgramResult raw =
      run_lathe("tokenize --raw --input " + folder_ / "text.txt" + tokenizer("minimind"));
  const ProgramResult piped =
      run_program("printf '{\"text\": \"one\\\\r\\\\ntwo\\\\n\"}\\n\\n' | " +
                  std::string(LATHE_BINARY) + " tokenize" + tokenizer("minimind"));
  EXPECT_EQ(raw.code, 0);
  EXPECT_EQ(raw.output, piped.output);
  EXPECT_THAT(raw.output, HasSubstr("{\"ids\": ["));
  EXPECT_EQ(run_lathe("tokenize --raw --decode" + tokenizer("minimind")).code, 64);
}

TEST_F(TextVerbs, BadLinesAreNamed) {
  const std::map<std::string, std::string> faults = {
      {"{\"text\": 3}", "in.jsonl:2: text: found number, expected a string"},
      {"{\"txt\": \"a\"}", "in.jsonl:2: text: found no such key"},
      {"[1]", "in.jsonl:2: found array, expected a JSON object"},
      {"{\"text\": \"\\ud800\"}", "in.jsonl:2: is no JSON"},
      {"{\"text\": \"\xff\"}", "in.jsonl:2: is no JSON"},
      {"{\"text\": \"a", "in.jsonl:2: is no JSON"},
      {std::string(100000, '['), "in.jsonl:2: is no JSON"}};
  for (const auto& [line, message] : faults) {
    write_text(folder_ / "in.jsonl", "{\"text\": \"a\\u0000b\"}\n" + line + "\n");
    const ProgramResult result =
        run_lathe("tokenize --input " + folder_ / "in.jsonl" + " --output " +
                  folder_ / "none.jsonl" + tokenizer("minimind"));
    EXPECT_EQ(result.code, 65) << result.output;
    EXPECT_THAT(result.output, HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "none.jsonl"));
  }
}

TEST_F(TextVerbs, RenderGivesEveryGoldenRecordByteForByte) {
  std::map<std::string, std::vector<Json>> by_template;
  for (const Json& record : lines_of(read_file(shared_path("data/chat-templates/golden.jsonl")))) {
    by_template[record["template"]].push_back(record);
  }
  EXPECT_EQ(by_template.size(), 23u);
  int rendered = 0, refused = 0, marked = 0;
  for (const auto& [name, records] : by_template) {
    std::string lines;
    for (const Json& record : records) {
      Json line;
      for (const char* key :
           {"messages", "tools", "bos_token", "eos_token", "add_generation_prompt"})
        line[key] = record[key];
      lines += line.dump() + "\n";
    }
    const std::vector<Json> got = answers("render" + tokenizer("minimind") + " --template " +
                                              shared_path("data/chat-templates/" + name),
                                          lines);
    ASSERT_EQ(got.size(), records.size()) << name;
    for (size_t i = 0; i < got.size(); ++i) {
      SCOPED_TRACE(name + " " + records[i]["conversation"].get<std::string>());
      if (records[i].contains("error")) {
        EXPECT_EQ(got[i], (Json{{"error", records[i]["error"]}}));
        ++refused;
        continue;
      }
      EXPECT_EQ(got[i]["text"], records[i]["rendered"]);
      EXPECT_TRUE(got[i]["mask"].is_null() || got[i]["mask"].size() == got[i]["ids"].size());
      marked += got[i]["mask"].is_array();
      ++rendered;
    }
  }
  EXPECT_EQ(rendered, 374);
  EXPECT_EQ(refused, 40);
  EXPECT_GE(marked, 64);
}

TEST_F(TextVerbs, RenderMasksWhatTheMessagesSay) {
  const std::vector<Json> got = answers(
      "render --template chatml" + tokenizer("minimind"),
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "weight": 0}]})"
      "\n");
  const std::vector<Json> back = answers("tokenize --decode" + tokenizer("minimind"), [&] {
    Json trained = {{"ids", Json::array()}};
    for (size_t i = 0; i < got[0]["ids"].size(); ++i) {
      if (got[0]["mask"][i] == 1) trained["ids"].push_back(got[0]["ids"][i]);
    }
    return trained.dump() + "\n";
  }());
  EXPECT_EQ(back[0]["text"], "b<|im_end|>\n");
}

}  // namespace
}  // namespace lathe
