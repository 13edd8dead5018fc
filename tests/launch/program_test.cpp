// The program as a user meets it: exit codes, messages, files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "launch/signals.h"
#include "recipes/timetable.h"
#include "tests/run_program.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A folder of its own with a small generated model and data set, removed at the end.
class Program : public testing::Test {
 protected:
  Program() {
    fs::remove_all(folder_);
    write_timetable(folder_, 1, 64, 8);
  }
  ~Program() override { fs::remove_all(folder_); }

  std::string write_config(const std::string& text) const {
    const std::string path = folder_ + "/config.yaml";
    std::ofstream(path) << text;
    return path;
  }
  std::string small_config() const {
    return write_config("recipe: sft\noutput_dir: " + folder_ + "/run\nmodel: {model_name_or_path: " + folder_ +
                        "/model, from_scratch: true, dtype: fp32}\ndata: {train: " + folder_ + "/train.jsonl, eval: " + folder_ +
                        "/held_out.jsonl, max_length: 128, cache_dir: " + folder_ +
                        "/cache}\ntrain: {max_steps: 4, per_device_train_batch_size: 2, logging_steps: 1, save_steps: 2}\n");
  }

  const std::string folder_ = testing::TempDir() + "program_test_" + std::to_string(getpid());
};

std::string read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(Program, SaysItsVersionAndHelp) {
  EXPECT_THAT(run_lathe("--version").output, HasSubstr("lathe 0."));
  const ProgramResult help = run_lathe("--help");
  EXPECT_EQ(help.code, 0);
  for (const char* verb : {"train", "curate", "prepare", "capture", "synthesize", "generate", "chat", "score", "eval", "tokenize", "render", "tokenizer", "inspect", "export", "validate", "prove", "report", "preflight", "postmortem", "plan", "ls", "cp", "env", "schema"}) {
    EXPECT_THAT(help.output, HasSubstr(verb));
    EXPECT_EQ(run_lathe(std::string(verb) + " --help").code, 0) << verb;
  }
  EXPECT_EQ(run_lathe("").code, 64);
}

TEST_F(Program, NamesTheNearestVerb) {
  const ProgramResult result = run_lathe("trian");
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.output, HasSubstr("did you mean `train`"));
}

TEST_F(Program, PointsAtAnUnknownKey) {
  const ProgramResult result = run_lathe("train " + write_config("recipe: sft\noptimizer:\n  lerning_rate: 1\n"));
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.output, HasSubstr("config.yaml:3:3"));
  EXPECT_THAT(result.output, HasSubstr("learning_rate"));
  EXPECT_THAT(result.output, HasSubstr("FATAL code=64 rank=0"));
}

TEST_F(Program, RefusesBadDataWithItsLine) {
  std::ofstream(folder_ + "/train.jsonl", std::ios::app) << "{\"messages\": 3}\n";
  const ProgramResult result = run_lathe("train " + small_config());
  EXPECT_EQ(result.code, 65);
  EXPECT_THAT(result.output, HasSubstr("train.jsonl:65"));
}

TEST_F(Program, TrainsAnAdapterResumesMergesAndGenerates) {
  // A base with weights of its own: a run of one step.
  const std::string base = folder_ + "/base";
  EXPECT_EQ(run_lathe("train " + small_config() + " max_steps=1 output_dir=" + base).code, 0);
  const std::string train = "train " + small_config() + " model.from_scratch=false model_name_or_path=" + base +
                            " lora_r=2 lora_dropout=0.1 modules_to_save=norm learning_rate=0.01 ";
  const auto adapter = [](const std::string& run) { return read(run + "/adapter_model.safetensors"); };
  const ProgramResult whole = run_lathe(train + "output_dir=" + folder_ + "/whole");
  EXPECT_EQ(whole.code, 0) << whole.output;
  EXPECT_THAT(whole.output, HasSubstr("in adapters"));
  EXPECT_FALSE(fs::exists(folder_ + "/whole/model.safetensors"));
  const ProgramResult resumed =
      run_lathe(train + "logging_steps=2 resume_from_checkpoint=" + folder_ + "/whole/checkpoint-2 output_dir=" + folder_ + "/resumed");
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("- train.logging_steps: 1\n+ train.logging_steps: 2\n"));
  EXPECT_EQ(adapter(folder_ + "/resumed"), adapter(folder_ + "/whole"));

  const ProgramResult merged = run_lathe("export " + folder_ + "/whole --merge --output " + folder_ + "/merged");
  EXPECT_EQ(merged.code, 0) << merged.output;
  EXPECT_THAT(merged.output, HasSubstr("largest error of a logit"));
  const std::string ask = " --max-new-tokens 8 --dtype fp32 --prompt 'What do 2 adults'";
  const ProgramResult with = run_lathe("generate --model " + base + " --adapter " + folder_ + "/whole" + ask);
  EXPECT_EQ(with.code, 0) << with.output;
  EXPECT_EQ(with.output, run_lathe("generate --model " + folder_ + "/merged" + ask).output);

  EXPECT_EQ(run_lathe("export " + folder_ + "/whole/checkpoint-4 --output " + folder_ + "/exported").code, 0);
  EXPECT_EQ(adapter(folder_ + "/exported"), adapter(folder_ + "/whole"));
  EXPECT_EQ(run_lathe("export " + base + " --merge --output " + folder_ + "/none").code, 64);
}

TEST_F(Program, TrainsEvaluatesSavesAndExports) {
  const std::string config = small_config();
  const ProgramResult train = run_lathe("train " + config);
  ASSERT_EQ(train.code, 0) << train.output;
  const std::string run = folder_ + "/run";
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.yaml",
                           "metrics.jsonl", "trainer_state.json", "run.json", "checkpoint-4/manifest.json"}) {
    EXPECT_TRUE(fs::exists(run + "/" + file)) << file;
  }
  const nlohmann::json first = nlohmann::json::parse(read(run + "/metrics.jsonl").substr(0, read(run + "/metrics.jsonl").find('\n')));
  EXPECT_TRUE(first.contains("loss") || first.contains("eval_loss")) << first;

  const ProgramResult exported = run_lathe("export " + run + "/checkpoint-4 --output " + folder_ + "/exported");
  ASSERT_EQ(exported.code, 0) << exported.output;
  EXPECT_EQ(read(folder_ + "/exported/model.safetensors"), read(run + "/model.safetensors"));
  // The tokenizer brings no chat template: the one of the run goes with the model.
  EXPECT_THAT(read(run + "/chat_template.jinja"), HasSubstr("<|im_start|>"));
  EXPECT_EQ(read(folder_ + "/exported/chat_template.jinja"), read(run + "/chat_template.jinja"));

  const ProgramResult generated = run_lathe("generate --model " + run + " --chat --prompt Hello --max-new-tokens 4");
  EXPECT_EQ(generated.code, 0) << generated.output;
}

TEST_F(Program, ItsResolvedConfigCanBeFedBackUnchanged) {
  ASSERT_EQ(run_lathe("train " + small_config()).code, 0);
  const std::string resolved = folder_ + "/run/config.yaml", before = read(resolved), model = read(folder_ + "/run/model.safetensors");
  fs::copy(resolved, folder_ + "/again.yaml");
  fs::remove_all(folder_ + "/run");
  const ProgramResult again = run_lathe("train " + folder_ + "/again.yaml");
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(read(folder_ + "/run/model.safetensors"), model);
}

TEST_F(Program, ResumesBitwiseAfterStopping) {
  const std::string config = small_config();
  ASSERT_EQ(run_lathe("train " + config).code, 0);
  const std::string whole = read(folder_ + "/run/model.safetensors");
  fs::remove_all(folder_ + "/run/checkpoint-4");
  fs::remove(folder_ + "/run/model.safetensors");
  const ProgramResult resumed = run_lathe("train " + config);
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("checkpoint-2"));
  EXPECT_EQ(read(folder_ + "/run/model.safetensors"), whole);
}

TEST_F(Program, GivesTheSameLossesForEverySplitOfAStep) {
  const std::string base = "train " + small_config() + " model.dtype=fp32 save_steps=4 ";
  const auto metrics_of = [&](const std::string& name, const std::string& split) {
    const ProgramResult result = run_lathe(base + split + " output_dir=" + folder_ + "/" + name);
    EXPECT_EQ(result.code, 0) << result.output;
    return read(folder_ + "/" + name + "/metrics.jsonl");
  };
  const std::string one = metrics_of("one", "per_device_train_batch_size=4");
  for (const char* split : {"gradient_accumulation_steps=4", "parallel.ranks=2 gradient_accumulation_steps=2", "parallel.ranks=4"}) {
    std::istringstream a(one), b(metrics_of("split", std::string("per_device_train_batch_size=1 ") + split));
    fs::remove_all(folder_ + "/split");
    int compared = 0;
    for (std::string left, right; std::getline(a, left) && std::getline(b, right);) {
      const auto l = nlohmann::json::parse(left), r = nlohmann::json::parse(right);
      for (const char* key : {"loss", "grad_norm", "eval_loss"}) {
        if (!l.contains(key)) continue;
        EXPECT_NEAR(l[key].get<double>(), r[key].get<double>(), 2e-6 * std::abs(l[key].get<double>())) << key << " " << split;
        ++compared;
      }
    }
    EXPECT_GE(compared, 8) << split;
  }
}

TEST_F(Program, ValidatesWithoutTraining) {
  const ProgramResult good = run_lathe("validate " + small_config());
  EXPECT_EQ(good.code, 0) << good.output;
  EXPECT_FALSE(fs::exists(folder_ + "/run"));
  fs::remove(folder_ + "/train.jsonl");
  EXPECT_EQ(run_lathe("validate " + small_config()).code, 65);
  EXPECT_EQ(run_lathe("validate --config-only " + small_config()).code, 0);
  EXPECT_EQ(run_lathe("validate --config-only " + write_config("recipe: sft\n")).code, 64);
}

TEST(Signals, AMappedFileThatVanishesIsAnIoError) {
  EXPECT_EXIT(
      {
        explain_bus_errors();
        std::raise(SIGBUS);
      },
      testing::ExitedWithCode(74), "FATAL code=74 .*cut short");
}

TEST_F(Program, HoldsItsOutputFolder) {
  const std::string run = folder_ + "/run";
  fs::create_directories(run);
  const ProgramResult result =
      run_program("flock " + run + "/.lock " + std::string(LATHE_BINARY) + " train " + small_config());
  EXPECT_EQ(result.code, 73) << result.output;
}

TEST_F(Program, ListsAndCopiesGoldenConfigs) {
  EXPECT_THAT(run_lathe("ls").output, HasSubstr("quickstart"));
  EXPECT_EQ(run_lathe("cp sft " + folder_ + "/mine.yaml").code, 0);
  EXPECT_TRUE(fs::exists(folder_ + "/mine.yaml"));
  EXPECT_EQ(run_lathe("cp sft " + folder_ + "/mine.yaml").code, 64);
  EXPECT_THAT(run_lathe("cp sfd " + folder_ + "/other.yaml").output, HasSubstr("did you mean `sft`"));
}

TEST_F(Program, PrintsASchemaThatIsJson) {
  const ProgramResult result = run_lathe("schema");
  EXPECT_EQ(result.code, 0);
  const nlohmann::json schema = nlohmann::json::parse(result.output);
  EXPECT_TRUE(schema["properties"].contains("optimizer"));
}

}  // namespace
}  // namespace lathe
