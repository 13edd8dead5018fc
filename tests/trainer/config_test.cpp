#include "trainer/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/trainer/config_example.h"

namespace lathe {
namespace {

using namespace config_example;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Config, KeepsDefaultsWhereNothingIsGiven) {
  for (const std::string text : {"", "\n", "# nothing\n", "---\n", "null\n"}) {
    const Read r = read(text);
    EXPECT_EQ(r.config.seed, 42);
    EXPECT_EQ(r.config.optimizer.learning_rate, 2e-5);
    EXPECT_TRUE(r.resolved.notes.empty());
    EXPECT_FALSE(r.resolved.given("seed"));
    EXPECT_EQ(r.resolved.where("optimizer.learning_rate"), "default");
  }
}

TEST(Config, ReadsEveryTypeWithAndWithoutItsSection) {
  const Read r = read(
      "seed: -7\n"
      "optimizer:\n  learning_rate: 2.0e-5\n"
      "adam_beta1: +0.5\n"
      "data: {shuffle: off, packing: no, train: [a.jsonl, {path: b.jsonl, weight: 2, columns: [x, "
      "'y z']}]}\n"
      "lora:\n  lora_target_modules:\n  - q_proj\n  - v_proj\n");
  EXPECT_EQ(r.config.seed, -7);
  EXPECT_EQ(r.config.optimizer.learning_rate, 2e-5);
  EXPECT_EQ(r.config.optimizer.adam_beta1, 0.5);
  EXPECT_FALSE(r.config.data.shuffle);
  EXPECT_EQ(r.config.data.packing, "false");
  ASSERT_EQ(r.config.data.train.size(), 2u);
  EXPECT_EQ(r.config.data.train[0].path, "a.jsonl");
  EXPECT_EQ(r.config.data.train[0].weight, 1);
  EXPECT_EQ(r.config.data.train[1].path, "b.jsonl");
  EXPECT_EQ(r.config.data.train[1].weight, 2);
  EXPECT_THAT(r.config.data.train[1].columns, ElementsAre("x", "y z"));
  EXPECT_THAT(r.config.lora.lora_target_modules, ElementsAre("q_proj", "v_proj"));
}

TEST(Config, OneThingStandsForAListOfOne) {
  EXPECT_EQ(read("train: a.jsonl").config.data.train.at(0).path, "a.jsonl");
  EXPECT_EQ(read("train: {path: a.jsonl, weight: 3}").config.data.train.at(0).weight, 3);
  EXPECT_THAT(read("lora_target_modules: q_proj").config.lora.lora_target_modules,
              ElementsAre("q_proj"));
}

TEST(Config, CommasDivideAListInOnePlainText) {
  const auto modules = [](const std::string& text) {
    return read("", {"lora_target_modules=" + text}).config.lora.lora_target_modules;
  };
  EXPECT_THAT(modules("q_proj, v_proj"), ElementsAre("q_proj", "v_proj"));
  EXPECT_THAT(modules("'q_proj,v_proj'"), ElementsAre("q_proj,v_proj"));
  EXPECT_THAT(modules("[a, 'b,c']"), ElementsAre("a", "b,c"));
  EXPECT_EQ(
      fault("lora_target_modules: a,,b"),
      "run.yaml:1:22: lora.lora_target_modules: found `a,,b` (text), expected a list of texts; a "
      "text is missing between commas");
}

TEST(Config, AMapOfTextsKeepsTheNamesThatTheUserChose) {
  const Read r = read("data: {train: {path: a, names: {prompt: question, n: 7}}}");
  EXPECT_EQ(r.config.data.train[0].names, (TextMap{{"n", "7"}, {"prompt", "question"}}));
  EXPECT_EQ(read("", {"data.train={path: a, names: {b: c}}"}).config.data.train[0].names,
            (TextMap{{"b", "c"}}));
  EXPECT_THAT(fault("data: {train: {path: a, names: question}}"),
              HasSubstr("data.train.names: found `question` (text), expected a map of texts"));
  EXPECT_THAT(fault("data: {train: {path: a, names: {q: [1]}}}"),
              HasSubstr("data.train.names: found a list for `q`, expected text"));
}

TEST(Config, WordsAndNumbersMayStandForText) {
  EXPECT_EQ(read("packing: True").config.data.packing, "true");
  EXPECT_EQ(read("packing: on").config.data.packing, "true");
  EXPECT_EQ(read("output_dir: 2").config.output_dir, "2");
  EXPECT_EQ(read("output_dir: TRUE").config.output_dir, "true");
  EXPECT_EQ(read("output_dir: yes").config.output_dir, "yes");
  EXPECT_EQ(read("output_dir: 'TRUE'").config.output_dir, "TRUE");
}

TEST(Config, CommandLineWinsOverTheFileAndLaterOverEarlier) {
  const Read r = read("learning_rate: 1\nseed: 3\n",
                      {"optimizer.learning_rate=1e-4", "learning_rate=1e-3", "output_dir=a: b #c",
                       "data.train=[x, {path: y}]", "lora={}"});
  EXPECT_EQ(r.config.optimizer.learning_rate, 1e-3);
  EXPECT_EQ(r.config.output_dir, "a: b #c");
  EXPECT_EQ(r.config.data.train.at(1).path, "y");
  EXPECT_EQ(r.resolved.where("learning_rate"), "command line: learning_rate=1e-3");
  EXPECT_EQ(r.resolved.where("seed"), "run.yaml:2:1");
  EXPECT_TRUE(r.resolved.given("lora"));
}

TEST(Config, TellsWhetherASectionWasGiven) {
  EXPECT_FALSE(read("seed: 1").resolved.given("lora"));
  EXPECT_TRUE(read("lora:").resolved.given("lora"));
  EXPECT_TRUE(read("lora: {}").resolved.given("lora"));
  EXPECT_TRUE(read("lora_r: 8").resolved.given("lora"));
  EXPECT_TRUE(read("", {"lora.lora_r=8"}).resolved.given("lora"));
  EXPECT_THROW(read("").resolved.given("no_such_key"), std::logic_error);
}

TEST(Config, NamesTheNearestKeyForAnUnknownOne) {
  EXPECT_EQ(fault("seed: 1\nlerning_rate: 1\n"),
            "run.yaml:2:1: unknown key `lerning_rate`; did you mean `learning_rate`?");
  EXPECT_EQ(fault("optimizer:\n  lerning_rate: 1\n"),
            "run.yaml:2:3: unknown key `optimizer.lerning_rate`; did you mean "
            "`optimizer.learning_rate`?");
  EXPECT_EQ(fault("optimizer: {seed: 1}"),
            "run.yaml:1:13: unknown key `optimizer.seed`; did you mean `seed`?");
  EXPECT_EQ(
      fault("data: {learning_rate: 1}"),
      "run.yaml:1:8: unknown key `data.learning_rate`; did you mean `optimizer.learning_rate`?");
  EXPECT_EQ(fault("optimiser: {learning_rate: 1}"),
            "run.yaml:1:1: unknown key `optimiser`; did you mean `optimizer`?");
  EXPECT_EQ(fault("zzz: 1"), "run.yaml:1:1: unknown key `zzz`");
  EXPECT_EQ(fault("train: [{path: a, wieght: 2}]"),
            "run.yaml:1:19: unknown key `wieght` in data.train; did you mean `weight`?");
  EXPECT_EQ(
      fault("", {"lerning_rate=1"}),
      "command line: lerning_rate=1: unknown key `lerning_rate`; did you mean `learning_rate`?");
}

TEST(Config, SaysWhatWasFoundAndWhatWasExpected) {
  EXPECT_EQ(fault("optimizer:\n  learning_rate: fast\n"),
            "run.yaml:2:18: optimizer.learning_rate: found `fast` (text), expected a number of at "
            "least 0");
  EXPECT_EQ(fault("learning_rate: '1'"),
            "run.yaml:1:16: optimizer.learning_rate: found `1` (quoted text), expected a number of "
            "at least 0");
  EXPECT_EQ(fault("learning_rate: yes"),
            "run.yaml:1:16: optimizer.learning_rate: found `yes` (true or false), expected a "
            "number of at least 0");
  EXPECT_EQ(fault("learning_rate: -1"),
            "run.yaml:1:16: optimizer.learning_rate: found `-1` (whole number), expected a number "
            "of at least 0");
  EXPECT_EQ(
      fault("learning_rate: [1]"),
      "run.yaml:1:16: optimizer.learning_rate: found a list, expected a number of at least 0");
  EXPECT_EQ(
      fault("adam_beta1: 1.5"),
      "run.yaml:1:13: optimizer.adam_beta1: found `1.5` (number), expected a number from 0 to 1");
  EXPECT_EQ(fault("optimizer: {beta: 0}"),
            "run.yaml:1:19: optimizer.beta: found `0` (whole number), expected a number above 0");
  EXPECT_EQ(fault("seed: 1.5"),
            "run.yaml:1:7: seed: found `1.5` (number), expected a whole number");
  EXPECT_EQ(fault("shuffle: 1"),
            "run.yaml:1:10: data.shuffle: found `1` (whole number), expected true or false");
  EXPECT_EQ(fault("packing: wraped"),
            "run.yaml:1:10: data.packing: found `wraped` (text), expected one of true, false, "
            "wrapped; did you mean "
            "`wrapped`?");
  EXPECT_EQ(fault("output_dir: {a: b}"), "run.yaml:1:13: output_dir: found a map, expected text");
  EXPECT_EQ(fault("lora_target_modules: [a, [b]]"),
            "run.yaml:1:26: lora.lora_target_modules: found a list, expected a list of texts");
  EXPECT_EQ(fault("train: [[a]]"),
            "run.yaml:1:9: data.train: found a list, expected a text, a map, or a list of them");
  EXPECT_EQ(fault("train: [{path: a, weight: x}]"),
            "run.yaml:1:27: data.train.weight: found `x` (text), expected a number above 0");
  EXPECT_EQ(fault("train: [{weight: 2}]"),
            "run.yaml:1:9: data.train.path is missing: file, glob or folder");
  EXPECT_EQ(fault("optimizer: fast"),
            "run.yaml:1:12: optimizer.optim: found `fast` (text), expected one of adamw");
  EXPECT_EQ(
      fault("data: fast"),
      "run.yaml:1:7: data: found `fast` (text), expected a section: `data:` and its keys below it");
  EXPECT_EQ(fault("", {"seed=x"}),
            "command line: seed=x: seed: found `x` (text), expected a whole number");
  EXPECT_EQ(fault("", {"seed"}), "command line: found `seed`, expected key=value");
  EXPECT_EQ(fault("- a\n"), "run.yaml:1:1: found a list, expected `key: value` lines");
  EXPECT_EQ(fault("hello"), "run.yaml:1:1: found `hello` (text), expected `key: value` lines");
}

TEST(Config, RefusesNumbersThatDoNotFit) {
  const std::string key = "run.yaml:1:16: optimizer.learning_rate: found `";
  EXPECT_EQ(fault("learning_rate: 1e999"),
            key + "1e999` (number), expected a number of at least 0, which does not fit");
  for (const std::string text : {"nan", "inf", ".nan", ".inf", "+.Inf", "-inf"}) {
    EXPECT_EQ(fault("learning_rate: " + text),
              key + text + "` (number), expected a number of at least 0, which is not finite");
  }
  EXPECT_EQ(
      fault("seed: 1_000"),
      "run.yaml:1:7: seed: found `1_000` (number), expected a whole number; write it without `_`");
  EXPECT_EQ(fault("seed: 9223372036854775808"),
            "run.yaml:1:7: seed: found `9223372036854775808` (number), expected a whole number, "
            "which does not fit");
  EXPECT_EQ(read("seed: 9223372036854775807").config.seed, std::numeric_limits<int64_t>::max());
  for (const std::string text : {"0x10", "1e3", "1.", "+-1", "++1", "1 2", "--1"}) {
    EXPECT_THAT(fault("seed: " + text), HasSubstr("expected a whole number")) << text;
  }
}

TEST(Config, AValueThatIsMissingIsAnError) {
  for (const std::string text : {"seed:", "seed: null", "seed: ~"}) {
    EXPECT_EQ(fault(text), "run.yaml:1:1: seed: the value is missing, expected a whole number");
  }
  EXPECT_EQ(fault("output_dir:\nseed: 1\n"),
            "run.yaml:1:1: output_dir: the value is missing, expected text");
  EXPECT_EQ(fault("", {"output_dir="}),
            "command line: output_dir=: output_dir: the value is missing, expected text");
  EXPECT_EQ(read("output_dir: ''").config.output_dir, "");
  EXPECT_EQ(read("", {"output_dir=\"\""}).config.output_dir, "");
}

TEST(Config, AKeyGivenTwiceNamesBothPlaces) {
  EXPECT_EQ(fault("learning_rate: 1\noptimizer: {learning_rate: 2}"),
            "run.yaml:2:13: key `optimizer.learning_rate` is given twice; it also stands at "
            "run.yaml:1:1 as "
            "`learning_rate`");
  EXPECT_EQ(fault("max_length: 1\nsequence_len: 1"),
            "run.yaml:2:1: key `sequence_len` is given twice; it also stands at run.yaml:1:1 as "
            "`max_length`");
  EXPECT_EQ(fault("seed: 1\nseed: 2"),
            "run.yaml:2:1: key `seed` is given twice; it also stands in line 1");
  EXPECT_EQ(fault("train: [{path: a,\n  path: b}]"),
            "run.yaml:2:3: key `path` is given twice; it also stands in line 1");
}

TEST(Config, ANameOfTwoSectionsNeedsItsSection) {
  EXPECT_EQ(
      fault("beta: 1"),
      "run.yaml:1:1: key `beta` is in several sections; write `optimizer.beta` or `lora.beta`");
  EXPECT_EQ(read("lora.beta: 3").config.lora.beta, 3);
}

TEST(Config, ARequiredKeyMustBeGivenUnlessItsSectionIsAbsent) {
  FieldList list;
  std::string a, b;
  list.sections = {{"", ""}, {"lora", "adapters", true}};
  list.leaves = {{"", "model", "the model", required(), &a},
                 {"lora", "rank", "the rank", required(), &b}};
  const auto message = [&](const std::string& yaml) -> std::string {
    try {
      read_yaml_text(yaml, "run.yaml", {}, list);
      return "no fault";
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
  };
  EXPECT_EQ(message("seed: 1"), "run.yaml:1:1: unknown key `seed`");
  EXPECT_EQ(message(""), "run.yaml: model is missing: the model");
  EXPECT_EQ(message("model: x"), "no fault");
  EXPECT_EQ(message("model: x\nlora:\n"), "run.yaml: lora.rank is missing: the rank");
}

TEST(Config, ConflictsNameThePlaceOfEachKey) {
  EXPECT_EQ(fault("seed: 1\nadam_beta2: 0.5\n"),
            "optimizer.adam_beta1 (default) and optimizer.adam_beta2 (run.yaml:2:1): the first "
            "moment must be the "
            "shorter one");
  EXPECT_EQ(fault("packing: false\n", {"recipe=pretrain"}),
            "recipe (command line: recipe=pretrain) and data.packing (run.yaml:1:1): pretraining "
            "fills rows; set "
            "data.packing: wrapped");
}

TEST(Config, DumpSaysWhereEachValueComesFrom) {
  const std::string dump =
      read("seed: 7\ntrain:\n- {path: 'a b', weight: 2}\n", {"learning_rate=3e-4"}).resolved.dump;
  EXPECT_EQ(dump,
            "recipe: sft  # default\n"
            "output_dir: runs/first  # default\n"
            "model_name_or_path: \"\"  # default\n"
            "dtype: bf16  # default\n"
            "seed: 7  # run.yaml:1\n"
            "warmup_steps: 0.0  # default\n"
            "data:\n"
            "  train:  # run.yaml:2\n"
            "    - {path: \"a b\", weight: 2.0, columns: [], names: {}}\n"
            "  max_length: 1024  # default\n"
            "  packing: true  # default\n"
            "  shuffle: true  # default\n"
            "optimizer:\n"
            "  optim: adamw  # default\n"
            "  learning_rate: 3.0e-04  # command line\n"
            "  adam_beta1: 0.9  # default\n"
            "  adam_beta2: 0.999  # default\n"
            "  beta: 0.5  # default\n"
            "# lora: not given\n");
}

TEST(Config, DumpReadsBackToTheSameValues) {
  for (const std::string text :
       {"", "lora:", "lora: {lora_target_modules: []}", "learning_rate: 1.2345678901234567e-300",
        "output_dir: \"\\\"\\\\ \\n\\t\\x01 # : {[ 'é' \\u2028\\x85\"", "output_dir: 'null'",
        "output_dir: 'TRUE'", "output_dir: '- a'", "output_dir: '...'", "output_dir: '1e5'",
        "output_dir: '<<'", "train: []",
        "train: [{path: \"a, b}\", columns: ['', ' ', '#', 'x: y', '? ', \"a\\nb\"]}, c]",
        "train: {path: a, names: {q: 'x: y', '1 2': \"\", 'a b': true, 'null': 7}}"}) {
    const Read once = read(text);
    const Read twice = read(once.resolved.dump);
    EXPECT_EQ(without_comments(twice.resolved.dump), without_comments(once.resolved.dump)) << text;
    EXPECT_EQ(twice.config.output_dir, once.config.output_dir) << once.resolved.dump;
    EXPECT_EQ(twice.config.optimizer.learning_rate, once.config.optimizer.learning_rate);
    EXPECT_EQ(twice.config.lora.lora_target_modules, once.config.lora.lora_target_modules);
    EXPECT_EQ(twice.resolved.given("lora"), once.resolved.given("lora"));
    ASSERT_EQ(twice.config.data.train.size(), once.config.data.train.size());
    for (size_t i = 0; i < once.config.data.train.size(); ++i) {
      EXPECT_EQ(twice.config.data.train[i].path, once.config.data.train[i].path);
      EXPECT_EQ(twice.config.data.train[i].columns, once.config.data.train[i].columns);
      EXPECT_EQ(twice.config.data.train[i].names, once.config.data.train[i].names);
    }
  }
}

TEST(Config, ASectionOfAnotherOwnerIsNeitherCheckedNorShownNorInTheWay) {
  std::string recipe = "sft", teacher;
  double a = 1, b = 1;
  FieldList list;
  list.sections = {{"", ""},
                   {"dpo", "of dpo", false, "recipe", {"dpo"}},
                   {"distill", "of distill", false, "recipe", {"distill"}}};
  list.leaves = {{"", "recipe", "what to do", {}, &recipe},
                 {"dpo", "beta", "pull", {}, &a},
                 {"distill", "beta", "mix", {}, &b},
                 {"distill", "teacher", "who teaches", required(), &teacher}};
  const auto dump = [&](const std::string& yaml) {
    return read_yaml_text(yaml, "run.yaml", {}, list).dump;
  };
  EXPECT_THAT(dump("recipe: sft"), testing::Not(HasSubstr("beta")));
  EXPECT_THAT(dump("{recipe: dpo, beta: 2}"), HasSubstr("dpo:\n  beta: 2.0"));
  EXPECT_EQ(a, 2);
  EXPECT_EQ(b, 1);
  EXPECT_THAT(dump("recipe: sft\ndpo.beta: 3"), HasSubstr("beta: 3.0"));
  EXPECT_THAT([&] { dump("{recipe: distill, beta: 4}"); },
              testing::ThrowsMessage<std::invalid_argument>(HasSubstr("distill.teacher is missing")));
  EXPECT_THAT([&] { dump("{recipe: sft, beta: 4}"); },
              testing::ThrowsMessage<std::invalid_argument>(HasSubstr("is in several sections")));
}

TEST(Config, HelpNamesEveryKeyWithItsDefaultAndLimits) {
  const std::string help = config_help<RunConfig>();
  EXPECT_THAT(help, HasSubstr("recipe  (one of sft, pretrain; default sft)\n    what to do\n"));
  EXPECT_THAT(help, HasSubstr("\noptimizer: how weights are updated\n"));
  EXPECT_THAT(help, HasSubstr("  learning_rate  (a number of at least 0; default 2.0e-05)\n"));
  EXPECT_THAT(help, HasSubstr("      weight  (a number above 0; default 1.0)\n"));
  EXPECT_THAT(help, HasSubstr("      path  (text; required)\n"));
}

TEST(Config, SchemaListsEveryKey) {
  const auto schema = nlohmann::json::parse(json_schema<RunConfig>());
  const auto& properties = schema.at("properties");
  EXPECT_EQ(schema.at("$schema"), "https://json-schema.org/draft/2020-12/schema");
  RunConfig config;
  const FieldList list = FieldCollector::collect(config);
  int num_leaves = 0;
  for (const Field& field : list.leaves) {
    const auto& where =
        field.section.empty() ? properties : properties.at(field.section).at("properties");
    EXPECT_EQ(where.at(field.name).at("description"), field.help);
    EXPECT_EQ(properties.contains(field.name), field.name != "beta");
    ++num_leaves;
  }
  EXPECT_EQ(num_leaves, 18);
  const auto& optimizer = properties.at("optimizer").at("properties");
  EXPECT_EQ(optimizer.at("learning_rate").at("minimum"), 0);
  EXPECT_EQ(optimizer.at("learning_rate").at("default"), 2e-5);
  EXPECT_EQ(optimizer.at("beta").at("exclusiveMinimum"), 0);
  EXPECT_EQ(properties.at("seed").at("type"), "integer");
  EXPECT_EQ(properties.at("data").at("properties").at("packing").at("enum"),
            nlohmann::json({"true", true, "false", false, "wrapped"}));
  EXPECT_EQ(properties.at("learning_rate").at("$ref"),
            "#/properties/optimizer/properties/learning_rate");
}

TEST(Config, ReadsAFileAndNamesItsPath) {
  const std::string path = testing::TempDir() + "/config_test.yaml";
  RunConfig config;
  EXPECT_THROW(read_config({path + ".absent", {}}, config), std::invalid_argument);
  EXPECT_THROW(read_config({testing::TempDir(), {}}, config), std::invalid_argument);
  std::ofstream(path) << "\xef\xbb\xbfseed: 5\r\noutput_dir: x\r\n";
  const ResolvedConfig resolved = read_config({path, {"seed=6"}}, config);
  EXPECT_EQ(config.seed, 6);
  EXPECT_EQ(config.output_dir, "x");
  EXPECT_EQ(resolved.where("output_dir"), path + ":2:1");
  EXPECT_EQ(read_config({"", {"seed=8"}}, config).where("seed"), "command line: seed=8");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace lathe
