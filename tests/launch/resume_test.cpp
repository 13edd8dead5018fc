// Resuming is bitwise, from each of fifty steps, for each recipe that trains. Some minutes: tests/CMakeLists.txt labels it
// `slow`.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "recipes/timetable.h"
#include "tests/run_program.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kSteps = 50;

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Case {
  const char* name;
  const char* keys;
};

class Resume : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    write_timetable(folder_, 1, 64, 8);
    Json shape = Json::parse(read(folder_ + "/model/config.json"));
    shape.update({{"hidden_size", 32}, {"intermediate_size", 48}, {"num_hidden_layers", 2}, {"num_attention_heads", 4},
                  {"num_key_value_heads", 2}, {"head_dim", 8}});
    std::ofstream(folder_ + "/model/config.json") << shape;
    std::ofstream pairs(folder_ + "/pairs.jsonl");
    for (int i = 0; i < 40; ++i) {
      pairs << Json{{"prompt", "Which is better, " + std::to_string(i) + "?"}, {"chosen", "the " + std::to_string(i % 7)},
                    {"rejected", "none of " + std::to_string(i % 5)}}
            << "\n";
    }
  }
  void TearDown() override { fs::remove_all(folder_); }

  // {folder}: the test's own.
  std::string command(const std::string& keys) const {
    std::string text = "train model_name_or_path={folder}/model from_scratch=true data.cache_dir={folder}/cache max_length=128 "
                       "model.dtype=fp32 max_steps=" + std::to_string(kSteps) +
                       " per_device_train_batch_size=2 logging_steps=1 save_total_limit=0 parallel.threads_per_rank=1 " + keys;
    for (size_t at; (at = text.find("{folder}")) != std::string::npos;) text.replace(at, 8, folder_);
    return text;
  }
  // What was measured at each step, times left out.
  static std::map<int, std::string> losses(const std::string& run) {
    std::map<int, std::string> rows;
    std::ifstream in(run + "/metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      const Json row = Json::parse(line);
      if (!row.contains("grad_norm")) continue;
      rows[row.at("step").get<int>()] = row.at("loss").dump() + " " + row.at("grad_norm").dump() + " " + row.at("learning_rate").dump();
    }
    return rows;
  }

  const std::string folder_ = testing::TempDir() + "resume_test_" + std::to_string(getpid());
};

TEST_P(Resume, IsBitwiseFromEveryStep) {
  const std::string keys = GetParam().keys, whole = folder_ + "/whole", part = folder_ + "/part";
  const ProgramResult once = run_lathe(command(keys + " save_steps=1 output_dir=" + whole));
  ASSERT_EQ(once.code, 0) << once.output;
  const std::map<int, std::string> expected = losses(whole);
  ASSERT_EQ(expected.size(), static_cast<size_t>(kSteps));
  const std::string weights = fs::exists(whole + "/model.safetensors") ? "/model.safetensors" : "/adapter_model.safetensors";
  for (int step = 1; step <= kSteps; ++step) {
    SCOPED_TRACE("from step " + std::to_string(step));
    fs::remove_all(part);
    const std::string checkpoint = whole + "/checkpoint-" + std::to_string(step);
    const ProgramResult again =
        run_lathe(command(keys + " save_steps=0 resume_from_checkpoint=" + checkpoint + " output_dir=" + part));
    ASSERT_EQ(again.code, 0) << again.output;
    std::map<int, std::string> rest = expected;
    rest.erase(rest.begin(), rest.upper_bound(step));
    EXPECT_EQ(losses(part), rest);
    EXPECT_TRUE(read(part + weights) == read(whole + weights));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Recipes, Resume,
    testing::Values(
        Case{"sft", "recipe=sft data.train={folder}/train.jsonl neftune_noise_alpha=5 gradient_accumulation_steps=2"},
        Case{"pretrain", "recipe=pretrain data.train={folder}/train.jsonl optim=muon"},
        Case{"lora", "recipe=sft data.train={folder}/train.jsonl lora_r=4 lora_dropout=0.1"},
        Case{"dpo", "recipe=dpo data.train={folder}/pairs.jsonl dpo.beta=0.5"},
        Case{"reward", "recipe=reward data.train={folder}/pairs.jsonl"},
        Case{"distill", "recipe=distill data.train={folder}/train.jsonl distill.teacher_model_name_or_path=self distill.lmbda=0.3"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lathe
