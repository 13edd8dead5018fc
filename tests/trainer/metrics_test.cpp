#include "trainer/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/shards/file.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

TEST(Metrics, NumbersReadBackExactly) {
  const double third = 1.0 / 3, small = 5e-324, big = 123456789;
  const auto row =
      nlohmann::json::parse(json_line(7, {{"loss", third}, {"lr", small}, {"num_tokens", big}}));
  EXPECT_EQ(row["step"], 7);
  EXPECT_EQ(row["loss"].get<double>(), third);
  EXPECT_EQ(row["lr"].get<double>(), small);
  EXPECT_EQ(row["num_tokens"].get<int64_t>(), 123456789);
  EXPECT_EQ(json_line(1, {{"loss", 0.1}}), R"({"step": 1, "loss": 0.1})");
  EXPECT_EQ(json_line(1, {{"loss", NAN}, {"grad_norm", INFINITY}}),
            R"({"step": 1, "loss": null, "grad_norm": null})");
}

TEST(Metrics, WritesALinePerRowAndTheStateOfHuggingFace) {
  TempFolder folder;
  Metrics metrics(folder.path(), /*console=*/false);
  metrics.rewind(-1);
  metrics.log_train(1, 2, {{"epoch", 0.5}, {"loss", 3}});
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "{\"step\": 1, \"epoch\": 0.5, \"loss\": 3}\n");
  metrics.log_eval(2, {{"eval_loss", 2}});
  metrics.finish({.global_step = 2, .max_steps = 2, .epoch = 1},
                 {{"train_runtime", 4}, {"train_loss", 3}});
  const auto state = nlohmann::json::parse(read_file(folder / "trainer_state.json"));
  EXPECT_EQ(state["global_step"], 2);
  ASSERT_EQ(state["log_history"].size(), 3u);
  EXPECT_EQ(state["log_history"][1]["eval_loss"], 2);
  EXPECT_EQ(state["log_history"][2]["train_runtime"], 4);
}

TEST(Metrics, RewindForgetsWhatCameAfterAndTheTornLine) {
  TempFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << "{\"step\": 5, \"loss\": 1}\n{\"step\": 5, \"train_runtime\": 9}\n"
         "{\"step\": 6, \"loss\": 1}\n[1]\nnot json\n{\"step\": 7, \"lo";
  Metrics metrics(folder.path(), false);
  metrics.rewind(5);
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "{\"step\": 5, \"loss\": 1}\n");
  metrics.log_train(6, 10, {{"loss", 2}});
  EXPECT_EQ(read_file(folder / "metrics.jsonl"),
            "{\"step\": 5, \"loss\": 1}\n{\"step\": 6, \"loss\": 2}\n");
  metrics.save_state({});
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "trainer_state.json"))["log_history"].size(), 2u);
}

TEST(Metrics, TagsAreThoseOfHuggingFace) {
  TempFolder folder;
  Metrics metrics(folder.path(), false);
  metrics.log_train(1, 2, {{"loss", 3}, {"learning_rate", 1}});
  metrics.log_eval(1, {{"eval_loss", 2}});
  std::string events;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with("events.out.tfevents."))
      events += read_file(entry.path().string());
  }
  for (const char* tag : {"train/loss", "train/learning_rate", "eval/loss"}) {
    EXPECT_NE(events.find(tag), std::string::npos) << tag;
  }
}

TEST(Metrics, OfAnotherRankWriteNothing) {
  const auto count = [] {
    return std::distance(fs::directory_iterator("."), fs::directory_iterator{});
  };
  const auto before = count();
  Metrics metrics("");
  metrics.rewind(-1);
  metrics.log_train(1, 2, {{"loss", 3}});
  metrics.log_eval(1, {{"eval_loss", 3}});
  metrics.note("not seen");
  metrics.finish({}, {{"train_loss", 3}});
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace lathe
