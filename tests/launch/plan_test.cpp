#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/run_program.h"

namespace lathe {
namespace {

using nlohmann::json;
using testing::HasSubstr;

void write_model(const std::filesystem::path& folder, const json& changes) {
  std::filesystem::create_directories(folder);
  json config = {{"model_type", "llama"}, {"hidden_size", 512}, {"intermediate_size", 1536}, {"num_hidden_layers", 8},
                 {"num_attention_heads", 8}, {"num_key_value_heads", 4}, {"vocab_size", 16000}, {"max_position_embeddings", 2048},
                 {"rms_norm_eps", 1e-5}, {"tie_word_embeddings", true}};
  config.update(changes);
  std::ofstream(folder / "config.json") << config;
}

// Words that do not repeat, so that packing has something to do.
void write_text(const std::filesystem::path& file) {
  std::ofstream out(file);
  for (int i = 0; i < 4000; ++i) {
    out << json{{"text", "line " + std::to_string(i * 7919) + " of a text about " + std::to_string(i)}} << "\n";
  }
}

class Plan : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / "plan";
    std::filesystem::remove_all(folder_);
    write_model(folder_ / "model", json::object());
    write_text(folder_ / "text.jsonl");
    const ProgramResult trained = run_lathe("tokenizer train --vocab-size 400 --input " + path("text.jsonl") + " --output " + path("tokenizer"));
    ASSERT_EQ(trained.code, 0) << trained.output;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string config(const std::string& layout) const {
    return " recipe=pretrain model_name_or_path=" + path("model") + " from_scratch=true dtype=fp32 model.tokenizer=" + path("tokenizer") +
           " data.train=" + path("text.jsonl") + " data.cache_dir=" + path("cache") + " max_length=512 output_dir=" + path("run") +
           " max_steps=1 logging_steps=1 save_steps=0 " + layout;
  }

  // The most that a rank held, in bytes; ranks are processes.
  double measured(int ranks, const std::string& layout) {
    std::filesystem::remove_all(folder_ / "run");
    const std::string launch = ranks == 1 ? "" : "mpirun --oversubscribe --allow-run-as-root --bind-to none -np " + std::to_string(ranks) + " ";
    const ProgramResult result = run_program(launch + LATHE_BINARY + " train" + config(layout));
    EXPECT_EQ(result.code, 0) << result.output;
    std::ifstream lines(folder_ / "run" / "metrics.jsonl");
    double most = 0;
    for (std::string line; std::getline(lines, line);) most = std::max(most, json::parse(line).value("memory_gib", 0.0));
    return most * (1 << 30);
  }

  double predicted(int ranks, const std::string& layout) {
    const ProgramResult result = run_lathe("plan" + config(layout) + " --json --ranks " + std::to_string(ranks));
    EXPECT_EQ(result.code, 0) << result.output;
    return json::parse(result.output)["config"]["memory"]["total"];
  }

  std::filesystem::path folder_;
};

TEST_F(Plan, MemoryIsWithinATenthOfWhatRanksHold) {
  if (run_program("command -v mpirun").code != 0) GTEST_SKIP() << "NOT RUN: no mpirun";
  struct Case {
    int ranks;
    std::string layout;
  };
  for (const Case& each : {Case{1, "per_device_train_batch_size=4"}, Case{2, "per_device_train_batch_size=2 zero=1"},
                           Case{2, "per_device_train_batch_size=2 zero=3"},
                           Case{2, "per_device_train_batch_size=2 zero=3 overlap=true threads_per_rank=1"}, Case{2, "per_device_train_batch_size=4 tp=2"},
                           Case{2, "per_device_train_batch_size=4 zero=0 gradient_checkpointing=true"},
                           Case{1, "per_device_train_batch_size=2 optimizer_in_bwd=true max_grad_norm=0"}}) {
    const double found = measured(each.ranks, each.layout), expected = predicted(each.ranks, each.layout);
    EXPECT_NEAR(expected / found, 1, 0.1) << each.ranks << " ranks, " << each.layout << ": " << expected / 1e9 << " GB predicted, "
                                          << found / 1e9 << " measured";
  }
}

TEST_F(Plan, OverlapHoldsAUnitMore) {
  const auto buffers = [&](const std::string& layout) -> double {
    const ProgramResult result = run_lathe("plan" + config("per_device_train_batch_size=8 " + layout) + " --json --ranks 2 --targets 0.01");
    EXPECT_EQ(result.code, 0) << result.output;
    return json::parse(result.output)["config"]["memory"]["buffers"];
  };
  // With few targets a block is the highest moment. Queries and output, keys and values, the three of the MLP, two norms.
  const double block = 2 * 512 * 512 + 2 * 512 * 256 + 3 * 512 * 1536 + 2 * 512;
  EXPECT_EQ(buffers("zero=2 overlap=true") - buffers("zero=2 overlap=false"), 4 * block);
  EXPECT_EQ(buffers("zero=3 overlap=true") - buffers("zero=3 overlap=false"), 8 * block);
  EXPECT_EQ(buffers("zero=1 overlap=true"), buffers("zero=1 overlap=false"));
}

TEST_F(Plan, NeedsNeitherWeightsNorDataAndRecommendsWhatFits) {
  write_model(folder_ / "8b", {{"hidden_size", 4096}, {"intermediate_size", 14336}, {"num_hidden_layers", 32},
                               {"num_attention_heads", 32}, {"num_key_value_heads", 8}, {"vocab_size", 128256},
                               {"max_position_embeddings", 8192}, {"tie_word_embeddings", false}});
  const std::string run = "plan recipe=sft data.train=nowhere.jsonl max_length=4096 model_name_or_path=" + path("8b") + " --gpu h100 --rows 256 ";
  const ProgramResult result = run_lathe(run + "--ranks 64");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("8.03e+03 M parameters in BFloat16"));
  EXPECT_THAT(result.output, HasSubstr("does not fit"));  // 8 rows at once, as configs have it
  EXPECT_THAT(result.output, HasSubstr("recommended: parallel.tp="));
  // Masters, moments and gradients of 8 B parameters are 112 GB.
  const ProgramResult alone = run_lathe(run + "--ranks 1");
  EXPECT_EQ(alone.code, 0) << alone.output;
  EXPECT_THAT(alone.output, HasSubstr("nothing fits into 74.5 GiB a rank"));
}

TEST_F(Plan, WhatCanNotBePlannedIsNamed) {
  const std::string run = "plan recipe=sft data.train=nowhere.jsonl model_name_or_path=" + path("model");
  ProgramResult result = run_lathe(run + " --gpu h9000");
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.output, HasSubstr("known: cpu (this machine, measured), a100"));
  result = run_lathe(run + " --gpu h100 --ranks 5 --gpus-per-node 2 --rows 7");
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.output, HasSubstr("a step of 7 rows can not be shared by 5 ranks"));
  result = run_lathe("plan recipe=dpo data.train=nowhere.jsonl model_name_or_path=" + path("model"));
  EXPECT_EQ(result.code, 64);
  EXPECT_THAT(result.output, HasSubstr("plan knows sft and pretrain"));
}

}  // namespace
}  // namespace lathe
