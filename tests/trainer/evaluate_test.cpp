#include "trainer/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/shared.h"
#include "tests/temp_folder.h"
#include "trainer/evaluate_text.h"
#include "trainer/generate/generation_config.h"
#include "trainer/hf_folder.h"
#include "trainer/score.h"

namespace lathe {
namespace {

using testing::HasSubstr;

TEST(EvaluateText, PutsFieldsIn) {
  const Json record = {{"a", "x"}, {"b", {{"c", 3}, {"list", {"p", "q"}}}}};
  EXPECT_EQ(fill_in("{a}: {b.c} {{}} {b.list.1}", record), "x: 3 {} q");
  EXPECT_EQ(fill_in("", record), "");
  for (const char* broken : {"{d}", "{b.d}", "{b}", "{b.list.2}", "{a", "a}", "{}"}) {
    EXPECT_THROW(fill_in(broken, record), std::invalid_argument) << broken;
  }
}

TEST(EvaluateText, FindsTheAnswer) {
  const AnswerRule number{.pattern = "(-?[0-9][0-9,]*)", .remove = {","}};
  EXPECT_EQ(extract_answer("So 3 and 4 make 1,007 in all.", number), "1007");
  EXPECT_EQ(extract_answer("none", number), "");
  EXPECT_EQ(extract_answer("3 or 4", {.pattern = "[0-9]", .last = false}), "3");
  EXPECT_EQ(extract_answer("  YES\n", {.ignore_case = true}), "yes");
  EXPECT_THROW(extract_answer("x", {.pattern = "("}), std::invalid_argument);
}

TEST(EvaluateText, MeasuresTheLongestCommonSubsequenceOfWords) {
  EXPECT_DOUBLE_EQ(rouge_l("The cat sat.", "the CAT sat"), 1);
  // "police killed the gunman" against "police kill the gunman": 3 of 4 (Lin 2004).
  EXPECT_DOUBLE_EQ(rouge_l("police kill the gunman", "police killed the gunman"), 0.75);
  EXPECT_DOUBLE_EQ(rouge_l("the gunman kill police", "police killed the gunman"), 0.5);
  EXPECT_DOUBLE_EQ(rouge_l("a b", "a x y b"), 2.0 * 2 / 6);
  EXPECT_EQ(rouge_l("", "a"), 0);
  EXPECT_EQ(num_characters("a\u00fc\u4e2d"), 3);
}

class Evaluate : public testing::Test {
 protected:
  void SetUp() override {
    if (!have_shared("data/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
    const std::string folder = shared_path("data/models/stories260K-hf");
    model_ = load_model(folder, at::kFloat, at::kCPU);
    tokenizer_ = std::make_unique<Tokenizer>(folder);
  }

  TaskConfig task(const std::string& kind, const std::string& lines) {
    const std::string path = folder_.path() + "/task.jsonl";
    std::ofstream(path) << lines;
    TaskConfig config;
    config.name = "test";
    config.kind = kind;
    config.data = path;
    return config;
  }
  TaskResult run(const TaskConfig& config) {
    return evaluate(*model_, *tokenizer_, model_->config().eos_token_id, config);
  }
  double logprob(const std::string& prompt, const std::string& completion) {
    return score(*model_, {completion_request(*tokenizer_, prompt, completion)})[0].logprob;
  }

  TempFolder folder_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(Evaluate, PicksTheLikeliestChoice) {
  TaskConfig config = task("multiple_choice",
                           R"({"q": "Once upon a", "c": ["time", "banana king"], "gold": 0}
{"q": "Once upon a", "c": ["time", "banana king"], "gold": "B"}

{"q": "The little girl was very", "c": ["happy", "of"], "gold": 0}
)");
  config.prompt = "{q}";
  config.choices = "c";
  config.gold = "gold";
  const TaskResult result = run(config);
  EXPECT_EQ(result.items, 3);
  EXPECT_EQ(result.metrics[0].name, "acc");
  EXPECT_NEAR(result.metrics[0].value, 2.0 / 3, 1e-12);
  EXPECT_NEAR(result.metrics[0].standard_error, 1.0 / 3, 1e-12) << "sqrt(2/3 * 1/3 / 2)";
  ASSERT_EQ(result.item_lines.size(), 3u);
  const Json first = Json::parse(result.item_lines[0]);
  EXPECT_NEAR(first["logprobs"][0], logprob("Once upon a", " time"), 1e-4);
  EXPECT_NEAR(first["logprobs"][1], logprob("Once upon a", " banana king"), 1e-4);
}

TEST_F(Evaluate, JoinsRecordsOfOneGroupAndCountsEachItemOnce) {
  TaskConfig config = task("multiple_choice", R"({"id": 7, "c": " time", "gold": 0}
{"id": 8, "c": " time", "gold": 1}
{"id": 7, "c": " of", "gold": 0}
{"id": 8, "c": " of", "gold": 1}
)");
  config.prompt = "Once upon a";
  config.group = "id";
  config.choice = "{c}";
  config.gold = "gold";
  const TaskResult result = run(config);
  EXPECT_EQ(result.items, 2);
  EXPECT_EQ(result.metrics[0].value, 0.5);
  config.limit = 1;
  EXPECT_EQ(run(config).items, 1);
}

TEST_F(Evaluate, ComparesGeneratedAnswers) {
  TaskConfig config = task("generate", R"({"q": "Once upon a", "a": "time"}
{"q": "Once upon a", "a": "Time!"}
{"q": "Once upon a", "a": "banana"}
)");
  config.prompt = "{q}";
  config.target = "{a}";
  config.answer_pattern = config.target_pattern = "[A-Za-z]+";
  config.answer_match = "first";
  config.ignore_case = true;
  config.metrics = {"exact_match", "rouge_l"};
  config.max_new_tokens = 4;
  const TaskResult result = run(config);
  EXPECT_EQ(result.items, 3);
  EXPECT_NEAR(result.metrics[0].value, 2.0 / 3, 1e-12);
  EXPECT_EQ(result.metrics[1].name, "rouge_l");
  EXPECT_NEAR(result.metrics[1].value, 2.0 / 3, 1e-12);
}

TEST_F(Evaluate, PutsSolvedExamplesBeforeThePrompt) {
  const std::string examples = R"({"q": "A dog named Rex saw a cat. Rex", "a": "ran."}
{"q": "The cat", "a": "hid."}
)";
  const std::string items = R"({"q": "Then the", "a": "end"}
)";
  const auto said = [&](const std::string& lines, const std::string& prompt,
                        const std::function<void(TaskConfig&)>& change) {
    TaskConfig config = task("generate", lines);
    config.prompt = prompt;
    config.target = "{a}";
    config.max_new_tokens = 12;
    change(config);
    const TaskResult result = run(config);
    EXPECT_EQ(result.items, 1);
    return Json::parse(result.item_lines.at(0)).at("text").get<std::string>();
  };
  const auto nothing = [](TaskConfig&) {};
  const std::string by_hand = said(items, "A dog named Rex saw a cat. Rex ran.\n\nThe cat hid.\n\n{q}", nothing);
  EXPECT_NE(by_hand, said(items, "{q}", nothing));
  EXPECT_EQ(by_hand, said(examples + items, "{q}", [](TaskConfig& c) { c.num_fewshot = 2; }));
  const std::string elsewhere = folder_.path() + "/examples.jsonl";
  std::ofstream(elsewhere) << examples;
  EXPECT_EQ(by_hand, said(items, "{q}", [&](TaskConfig& c) {
              c.num_fewshot = 2;
              c.fewshot_data = elsewhere;
            }));
  EXPECT_EQ(said(items, "A dog named Rex saw a cat. Rex=ran.;{q}", nothing), said(items, "{q}", [&](TaskConfig& c) {
              c.num_fewshot = 1;
              c.fewshot_data = elsewhere;
              c.fewshot_delimiter = "=";
              c.fewshot_separator = ";";
            }));
  try {
    said(items, "{q}", [&](TaskConfig& c) {
      c.num_fewshot = 3;
      c.fewshot_data = elsewhere;
    });
    FAIL() << "three of two examples were accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("holds 2 records, num_fewshot asks for 3"));
  }
}

TEST_F(Evaluate, ScoresEveryTokenOfALongTextOnce) {
  std::string text;
  while (text.size() < 4000) text += "Once upon a time there was a little girl. ";
  TaskConfig config = task("perplexity", Json{{"p", ""}, {"t", text}}.dump() + "\n" +
                                             Json{{"p", "Once upon"}, {"t", " a time."}}.dump());
  config.prompt = "{p}";
  config.target = "{t}";
  const TaskResult result = run(config);
  ASSERT_EQ(result.items, 2);
  const Json one = Json::parse(result.item_lines[0]), two = Json::parse(result.item_lines[1]);
  EXPECT_EQ(one["tokens"], tokenizer_->encode(text, true).size() - 1);
  EXPECT_EQ(one["bytes"], text.size());
  EXPECT_NEAR(two["logprob"], logprob("Once upon", " a time."), 1e-4);
  const double sum = one["logprob"].get<double>() + two["logprob"].get<double>(),
               bytes = double(text.size()) + 8;
  EXPECT_NEAR(result.metrics[1].value, std::exp(-sum / bytes), 1e-9);
  EXPECT_NEAR(result.metrics[2].value, -sum / bytes / std::log(2.0), 1e-9);
}

TEST_F(Evaluate, NamesTheRecordAtFault) {
  const auto refusal = [&](const std::string& lines) -> std::string {
    TaskConfig config = task("multiple_choice", lines);
    config.prompt = "{q}";
    config.choices = "c";
    config.gold = "gold";
    try {
      run(config);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  const std::string good = R"({"q": "a", "c": ["b"], "gold": 0})";
  EXPECT_THAT(refusal(good + "\n{\"q\": 1}"),
              HasSubstr("task.jsonl:2: the record has no field `gold`"));
  EXPECT_THAT(refusal(good + "\n[]"), HasSubstr("task.jsonl:2"));
  EXPECT_THAT(refusal(good + "\n{"), HasSubstr("task.jsonl:2"));
  EXPECT_THAT(refusal(R"({"q": "a", "c": ["b"], "gold": 1})"),
              HasSubstr("1 choices but `gold` says 1"));
  EXPECT_THAT(refusal(""), HasSubstr("holds no item"));
}

TEST(EvaluateTask, EveryGoldenTaskIsValid) {
  int tasks = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(LATHE_SOURCE_DIR) + "/configs/eval")) {
    TaskConfig config;
    EXPECT_NO_THROW(read_config({.path = entry.path().string(), .overrides = {}}, config))
        << entry.path();
    EXPECT_EQ(config.name, entry.path().stem());
    ++tasks;
  }
  EXPECT_EQ(tasks, 6);
}

TEST(EvaluateTask, RefusesWhatDoesNotGoTogether) {
  const auto refusal = [](std::vector<std::string> keys) -> std::string {
    keys.insert(keys.end(), {"name=n", "data=d"});
    TaskConfig config;
    try {
      read_config({.path = {}, .overrides = keys}, config);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal({"kind=multiple_choice", "choices=c"}), HasSubstr("needs gold"));
  EXPECT_THAT(refusal({"kind=multiple_choice", "gold=g"}), HasSubstr("one of choices and group"));
  EXPECT_THAT(refusal({"kind=perplexity"}), HasSubstr("needs target"));
  EXPECT_THAT(refusal({"kind=generate", "target=t", "metrics=[bleu]"}), HasSubstr("bleu"));
  EXPECT_THAT(refusal({"kind=perplexity", "target=t", "num_fewshot=2"}), HasSubstr("num_fewshot"));
  EXPECT_EQ(refusal({"kind=generate", "target=t", "num_fewshot=2"}), "accepted");
}

TEST(GenerationConfig, AddsItsStopIdsToTheModels) {
  TempFolder folder;
  ModelConfig config;
  config.eos_token_id = {2};
  EXPECT_EQ(stop_ids_of(folder.path(), config), (std::vector<int64_t>{2}));
  const std::string path = folder.path() + "/generation_config.json";
  std::ofstream(path) << R"({"eos_token_id": [7, 2]})";
  EXPECT_EQ(stop_ids_of(folder.path(), config), (std::vector<int64_t>{2, 7}));
  std::ofstream(path) << R"({"eos_token_id": 9})";
  EXPECT_EQ(stop_ids_of(folder.path(), config), (std::vector<int64_t>{2, 9}));
  std::ofstream(path) << R"({"eos_token_id": "x"})";
  EXPECT_THROW(stop_ids_of(folder.path(), config), std::invalid_argument);
}

}  // namespace
}  // namespace lathe
