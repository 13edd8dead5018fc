#include "trainer/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A run of the tiny model: what is asked for, and what came out (at rank 0).
struct Training {
  explicit Training(std::string folder_path, int num_ranks = 1, int zero_stage = 0)
      : folder(std::move(folder_path)), ranks(num_ranks), zero(zero_stage) {
    train.max_steps = 10;
    train.logging_steps = 1;
    train.save_steps = 0;
  }

  std::string folder;
  int ranks, zero;
  TrainConfig train;
  std::string fingerprint = "f", config = "lr: 1\n";
  int64_t stop_after = -1;                // the last rank alone is told to stop during this step
  int64_t stop_in_evaluation_after = -1;  // or during the evaluation behind this one
  at::ScalarType dtype = at::kFloat;
  bool with_eval = false;
  Objective objective = cross_entropy;

  Trainer::End end = Trainer::End::kDone;
  at::Tensor weights;
  std::vector<int64_t> rows;  // that rank 0 took
  Progress progress;
};

// The same global batch of 4 rows whatever the ranks.
TinyData data_of(Group& dp) {
  return {.rows_per_micro_batch = dp.size() == 1 ? 4 : 4 / dp.size(),
          .rank = dp.rank(),
          .size = dp.size()};
}

void start(Training& run) {
  on_ranks(run.ranks, [&](Mesh& mesh) {
    const bool first = mesh.world().rank() == 0, last = mesh.world().rank() == run.ranks - 1;
    const std::unique_ptr<Model> model = tiny_model(run.dtype);
    const auto sharding = make_sharding(run.zero, model->parameters(), mesh);
    const auto optimizer = make_optimizer({.weight_decay = 0.1}, *sharding);
    Metrics metrics(first ? run.folder : "", /*console=*/false);
    TinyData data = data_of(mesh.dp()), eval_data = data_of(mesh.dp());
    std::atomic<bool> stop = false;
    BatchSource source = tiny_batches(data);
    const auto next = source.next;
    Trainer* at = nullptr;
    source.next = [&] {
      if (last && at->progress().step + 1 == run.stop_after) stop = true;
      return next();
    };
    BatchSource eval_source = tiny_batches(eval_data);
    const auto next_eval = eval_source.next;
    eval_source.next = [&] {
      if (last && at->progress().step == run.stop_in_evaluation_after) stop = true;
      return next_eval();
    };
    Trainer::Options options;
    options.train = run.train;
    options.schedule.lr_scheduler_type = "linear";
    options.schedule.warmup_steps = 2;
    options.learning_rate = 1e-2;
    options.output_dir = run.folder;
    options.fingerprint = run.fingerprint;
    options.config = run.config;
    options.stop_requested = &stop;
    Trainer trainer({.mesh = mesh,
                     .model = *model,
                     .objective = run.objective,
                     .sharding = *sharding,
                     .optimizer = *optimizer,
                     .batches = source,
                     .eval_batches = run.with_eval ? std::optional(eval_source) : std::nullopt,
                     .metrics = metrics},
                    options);
    at = &trainer;
    const Trainer::End end = trainer.run();
    if (!first) return;
    run.end = end;
    run.weights = all_weights(*model);
    run.rows = data.taken;
    run.progress = trainer.progress();
  });
}

// The rows of metrics.jsonl without what a clock measured, losses as hexadecimal floats.
std::vector<std::string> measured(const std::string& folder) {
  std::vector<std::string> result;
  std::istringstream lines(read_file(folder + "/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto row = nlohmann::json::parse(line);
    std::string text;
    for (const char* key : {"step", "epoch", "loss", "grad_norm", "learning_rate", "num_tokens",
                            "eval_loss", "train_loss"}) {
      if (!row.contains(key) || row[key].is_null()) continue;
      char hex[64];
      std::snprintf(hex, sizeof(hex), "%s %a  ", key, row[key].get<double>());
      text += hex;
    }
    result.push_back(text);
  }
  return result;
}

const std::vector<std::pair<int, int>> kLayouts{{1, 0}, {1, 1}, {2, 0}, {2, 1}};

TEST(Trainer, StoppedAndResumedAfterAnyStepEqualsNeverStopped) {
  for (const auto& [ranks, zero] : kLayouts) {
    TempFolder whole_folder;
    Training whole(whole_folder.path(), ranks, zero);
    whole.with_eval = true;
    whole.train.eval_steps = 4;
    whole.train.logging_steps = 3;
    start(whole);
    EXPECT_EQ(measured(whole_folder.path()).size(),
              5u + 4u + 1u);  // steps 1 3 6 9 10; eval 0 4 8 10; the summary
    for (int64_t step = 1; step < 10; ++step) {
      SCOPED_TRACE(testing::Message()
                   << ranks << " ranks, zero " << zero << ", stopped after " << step);
      TempFolder folder;
      Training first = whole;
      first.folder = folder.path();
      first.stop_after = step;
      start(first);
      EXPECT_EQ(first.end, Trainer::End::kStopped);
      EXPECT_EQ(first.progress.step, step);
      EXPECT_TRUE(fs::exists(folder / "checkpoint-" + std::to_string(step)));
      Training second = first;
      second.stop_after = -1;
      start(second);
      EXPECT_EQ(second.end, Trainer::End::kDone);
      EXPECT_TRUE(at::equal(second.weights, whole.weights));
      std::vector<int64_t> rows = first.rows;
      rows.insert(rows.end(), second.rows.begin(), second.rows.end());
      EXPECT_EQ(rows, whole.rows);
      EXPECT_EQ(measured(folder.path()), measured(whole_folder.path()));
    }
  }
}

TEST(Trainer, ResumesToTheBitFromEachOfFiftySteps) {
  TempFolder whole_folder;
  Training whole(whole_folder.path());
  whole.train.max_steps = 50;
  whole.train.save_steps = 1;
  whole.train.save_total_limit = 0;
  start(whole);
  const std::vector<std::string> all = measured(whole_folder.path());
  ASSERT_EQ(all.size(), 50u + 1u);  // the steps and the summary
  for (int64_t step = 1; step < 50; ++step) {
    SCOPED_TRACE(testing::Message() << "resumed after step " << step);
    TempFolder folder;
    Training rest = whole;
    rest.folder = folder.path();
    rest.train.save_steps = 0;
    rest.train.resume_from_checkpoint = whole_folder / "checkpoint-" + std::to_string(step);
    start(rest);
    EXPECT_TRUE(at::equal(rest.weights, whole.weights));
    EXPECT_EQ(rest.rows, std::vector<int64_t>(whole.rows.begin() + step * 4, whole.rows.end()));
    EXPECT_EQ(measured(folder.path()), std::vector<std::string>(all.begin() + step, all.end()));
  }
}

TEST(Trainer, Bfloat16ResumesToTheBit) {
  TempFolder whole_folder, folder;
  Training whole(whole_folder.path(), 2, 1);
  whole.dtype = at::kBFloat16;
  start(whole);
  Training parts = whole;
  parts.folder = folder.path();
  parts.stop_after = 5;
  start(parts);
  parts.stop_after = -1;
  start(parts);
  EXPECT_TRUE(at::equal(parts.weights, whole.weights));
  EXPECT_EQ(measured(folder.path()), measured(whole_folder.path()));
}

TEST(Trainer, RunThatDiedRepeatsTheStepsAfterItsCheckpoint) {
  TempFolder whole_folder, folder;
  Training whole(whole_folder.path());
  whole.train.save_steps = 4;
  start(whole);
  Training died = whole;
  died.folder = folder.path();
  int64_t calls = 0;
  died.objective = [&](Model& model, const Batch& batch) {
    if (++calls == 7) throw std::runtime_error("power");
    return cross_entropy(model, batch);
  };
  EXPECT_THROW(start(died), std::runtime_error);
  EXPECT_EQ(measured(folder.path()).size(), 6u);
  died.objective = cross_entropy;
  start(died);
  EXPECT_EQ(measured(folder.path()), measured(whole_folder.path()));
  EXPECT_TRUE(at::equal(died.weights, whole.weights));
  EXPECT_EQ(
      nlohmann::json::parse(read_file(folder / "trainer_state.json")).at("log_history").size(),
      11u);
}

TEST(Trainer, CheckpointOfTwoRanksGoesOnWithOneAndFour) {
  TempFolder whole_folder;
  Training whole(whole_folder.path(), 2, 1);
  start(whole);
  for (const int ranks : {1, 4}) {
    TempFolder folder;
    Training parts = whole;
    parts.folder = folder.path();
    parts.stop_after = 5;
    start(parts);
    parts.stop_after = -1;
    parts.ranks = ranks;
    start(parts);
    EXPECT_EQ(parts.progress.step, 10);
    // Only the order in which gradients are added differs; Adam can stretch that where a gradient
    // is nearly zero.
    EXPECT_LT((parts.weights - whole.weights).abs().max().item<double>(), 1e-4);
  }
}

TEST(Trainer, DamagedCheckpointIsPassedOver) {
  TempFolder whole_folder, folder;
  Training whole(whole_folder.path());
  start(whole);
  Training run = whole;
  run.folder = folder.path();
  run.train.save_steps = 2;
  run.stop_after = 7;
  start(run);
  fs::resize_file(folder / "checkpoint-7/rank-0.h5", 100);
  run.stop_after = -1;
  start(run);
  EXPECT_TRUE(at::equal(run.weights, whole.weights));
}

TEST(Trainer, FinishedRunHasNothingLeftToDo) {
  TempFolder folder;
  Training run(folder.path());
  run.train.save_steps = 100;
  start(run);
  EXPECT_TRUE(fs::exists(folder / "checkpoint-10"));
  const at::Tensor weights = run.weights;
  start(run);
  EXPECT_EQ(run.end, Trainer::End::kDone);
  EXPECT_TRUE(run.rows.empty());
  EXPECT_TRUE(at::equal(run.weights, weights));
}

TEST(Trainer, CheckpointOfAnotherConfigIsRefusedOnEveryRank) {
  TempFolder folder;
  Training run(folder.path(), 2, 0);
  run.stop_after = 3;
  start(run);
  run.fingerprint = "g";
  run.config = "lr: 2\n";
  try {
    start(run);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("- lr: 1\n+ lr: 2\n"));
  }
  run.train.resume_from_checkpoint = "never";
  run.stop_after = -1;
  start(run);
  EXPECT_EQ(run.progress.step, 10);
  run.train.resume_from_checkpoint = folder / "checkpoint-3";
  EXPECT_THROW(start(run), std::invalid_argument);
  run.fingerprint = "f";
  start(run);
  EXPECT_EQ(run.rows.size(), 7u * 2);
}

TEST(Trainer, KeepsAsManyCheckpointsAsAsked) {
  TempFolder folder;
  Training run(folder.path());
  run.train.save_steps = 2;
  run.train.save_total_limit = 2;
  start(run);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("checkpoint-8", "checkpoint-10"));
}

std::vector<std::string> folders_in(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  return names;
}

TEST(Trainer, BestCheckpointIsKeptAndItsWeightsEndTheRun) {
  TempFolder folder, short_folder;
  Training run(folder.path(), 2, 1);
  run.with_eval = true;
  run.train.eval_steps = 2;
  run.train.save_steps = 5;
  run.train.save_total_limit = 1;
  run.train.load_best_model_at_end = true;
  run.train.greater_is_better = "true";  // the loss falls: the first evaluation stays the best
  start(run);
  EXPECT_THAT(folders_in(folder.path()),
              testing::UnorderedElementsAre("checkpoint-2", "checkpoint-10"));
  const auto state = nlohmann::json::parse(read_file(folder / "trainer_state.json"));
  EXPECT_EQ(state["best_global_step"], 2);
  EXPECT_EQ(state["best_model_checkpoint"], folder / "checkpoint-2");
  Training two(short_folder.path(), 2, 1);
  two.stop_after = 2;
  start(two);
  EXPECT_TRUE(at::equal(run.weights, two.weights));
  const at::Tensor weights = run.weights;
  start(run);  // nothing is left to do, but to take the best again
  EXPECT_TRUE(run.rows.empty());
  EXPECT_TRUE(at::equal(run.weights, weights));
}

TEST(Trainer, SavesAfterTheFirstStepWhenAsked) {
  TempFolder folder;
  Training run(folder.path());
  run.train.save_on_first_step = true;
  start(run);
  EXPECT_TRUE(fs::exists(folder / "checkpoint-1/manifest.json"));
  const at::Tensor weights = run.weights;
  run.train.resume_from_checkpoint = folder / "checkpoint-1";
  start(run);
  EXPECT_EQ(run.rows.size(), 9u * 4);  // went on after step 1
  EXPECT_TRUE(at::equal(run.weights, weights));
}

TEST(Trainer, DiskThatCanNotHoldTheCheckpointsIsToldBeforeTheFirstStep) {
  TempFolder folder;
  Training run(folder.path(), 2, 1);
  run.train.max_steps = int64_t{1} << 50;
  run.train.save_steps = 1;
  run.train.save_total_limit = 0;
  int64_t calls = 0;
  run.objective = [&](Model&, const Batch&) -> LossSum {
    throw std::logic_error(std::to_string(++calls));
  };
  try {
    start(run);
    FAIL();
  } catch (const SaveFailed& error) {
    EXPECT_THAT(error.what(), testing::ContainsRegex("needed [0-9.]+ GB .* free [0-9.]+ GB"));
  }
  EXPECT_EQ(calls, 0);
}

// cross_entropy, but with a loss that is not a number in the given calls of the last rank.
Objective poisoned(std::shared_ptr<std::atomic<int64_t>> calls, int64_t from, int64_t to) {
  return [=](Model& model, const Batch& batch) {
    LossSum loss = cross_entropy(model, batch);
    const int64_t call = (*calls)++;
    if (call >= from && call < to) loss.sum = loss.sum * NAN;
    return loss;
  };
}

TEST(Trainer, GradientThatIsNotFiniteSkipsTheUpdateOnEveryRank) {
  for (const auto& [ranks, zero] : kLayouts) {
    on_ranks(ranks, [&, zero = zero](Mesh& mesh) {
      const std::unique_ptr<Model> model = tiny_model();
      const auto sharding = make_sharding(zero, model->parameters(), mesh);
      const auto optimizer = make_optimizer({}, *sharding);
      Metrics metrics("");
      TinyData data = data_of(mesh.dp());
      const auto calls = std::make_shared<std::atomic<int64_t>>(0);
      const bool last = mesh.dp().rank() == mesh.dp().size() - 1;
      Trainer trainer({.mesh = mesh,
                       .model = *model,
                       .objective = last ? poisoned(calls, 1, 2) : cross_entropy,
                       .sharding = *sharding,
                       .optimizer = *optimizer,
                       .batches = tiny_batches(data),
                       .metrics = metrics},
                      {.learning_rate = 1e-2});
      EXPECT_TRUE(trainer.step().applied);
      const at::Tensor weights = all_weights(*model);
      std::vector<at::Tensor> state;
      for (const StateSlice& slice : optimizer->state()) state.push_back(slice.values.clone());
      const StepStats bad = trainer.step();
      EXPECT_FALSE(bad.applied);
      EXPECT_TRUE(std::isnan(bad.grad_norm));
      EXPECT_TRUE(at::equal(all_weights(*model), weights));
      for (size_t i = 0; i < state.size(); ++i)
        EXPECT_TRUE(at::equal(optimizer->state()[i].values, state[i]));
      const StepStats good = trainer.step();
      EXPECT_TRUE(good.applied);
      EXPECT_TRUE(std::isfinite(good.grad_norm));
      EXPECT_EQ(trainer.progress().updates, 2);
      EXPECT_EQ(trainer.progress().step, 3);
    });
  }
}

TEST(Trainer, ThreeBadStepsInARowEndTheRun) {
  TempFolder folder;
  Training run(folder.path(), 2, 1);
  run.train.save_steps = 1;
  const auto calls = std::make_shared<std::atomic<int64_t>>(0);
  run.objective = poisoned(calls, 8, 1000);  // two ranks: from step 5 on
  try {
    start(run);
    FAIL();
  } catch (const NumericStop& error) {
    EXPECT_THAT(error.what(), HasSubstr("3 steps in a row, up to step 7"));
    EXPECT_THAT(error.what(), HasSubstr("the weights are those of step 4"));
  }
}

TEST(Trainer, ThreeBadStepsGoBackToTheLastGoodCheckpointAndPassTheirDataOver) {
  for (const bool for_good : {false, true}) {
    TempFolder folder;
    Training run(folder.path());
    run.train.save_steps = 2;
    const auto calls = std::make_shared<std::atomic<int64_t>>(0);
    run.objective = poisoned(calls, 4, for_good ? 1 << 20 : 7);  // from step 5 on
    if (for_good) {
      try {
        start(run);
        FAIL();
      } catch (const NumericStop& error) {
        EXPECT_THAT(error.what(), HasSubstr("epoch 3 row 4 to epoch 4 row 4"));
        EXPECT_THAT(error.what(), HasSubstr("after going back 2 times"));
      }
      EXPECT_EQ(calls->load(), 4 + 3 * 3);
      continue;
    }
    start(run);
    EXPECT_EQ(run.end, Trainer::End::kDone);
    EXPECT_EQ(run.progress.step, 10);
    EXPECT_EQ(run.progress.rewinds, 1);
    EXPECT_EQ(run.rows.size(), 13u * 4);
    EXPECT_EQ(measured(folder.path()).size(), 10u + 1u);  // steps 5 to 7 once
  }
}

TEST(Trainer, AnEvaluationThatASignalEndedIsMadeUpFor) {
  TempFolder whole_folder;
  Training whole(whole_folder.path(), 2, 1);
  whole.with_eval = true;
  whole.train.eval_steps = 4;
  start(whole);
  for (const int64_t step : {4, 10}) {
    TempFolder folder;
    Training first = whole;
    first.folder = folder.path();
    first.stop_in_evaluation_after = step;
    start(first);
    EXPECT_EQ(first.end, Trainer::End::kStopped);
    EXPECT_EQ(first.progress.step, step);
    Training second = first;
    second.stop_in_evaluation_after = -1;
    start(second);
    EXPECT_EQ(second.end, Trainer::End::kDone);
    EXPECT_TRUE(at::equal(second.weights, whole.weights));
    std::vector<std::string> rows = measured(whole_folder.path());
    if (step == 10) rows.pop_back();  // the summary: no step was left to take
    EXPECT_EQ(measured(folder.path()), rows);
  }
  TempFolder folder;
  Training none = whole;
  none.folder = folder.path();
  none.stop_in_evaluation_after = 0;
  EXPECT_THROW(start(none), Stopped);
}

TEST(Trainer, StepWithoutAnyTargetChangesNothing) {
  on_ranks(2, [](Mesh& mesh) {
    const std::unique_ptr<Model> model = tiny_model();
    const auto sharding = make_sharding(1, model->parameters(), mesh);
    const auto optimizer = make_optimizer({.weight_decay = 0.1}, *sharding);
    Metrics metrics("");
    TinyData data = data_of(mesh.dp());
    BatchSource source = tiny_batches(data);
    int64_t calls = 0;
    const auto next = source.next;
    source.next = [&] {
      std::vector<Batch> batches = next();
      if (++calls == 2) {
        batches[0].targets.fill_(kIgnore);
        batches[0].weights.zero_();
        batches[0].num_targets = 0;
      }
      if (calls == 3) batches = {make_batch({})};
      return batches;
    };
    Trainer trainer({.mesh = mesh,
                     .model = *model,
                     .objective = cross_entropy,
                     .sharding = *sharding,
                     .optimizer = *optimizer,
                     .batches = source,
                     .metrics = metrics},
                    {.learning_rate = 1e-2});
    EXPECT_TRUE(trainer.step().applied);
    const at::Tensor weights = all_weights(*model);
    for (int i = 0; i < 2; ++i) {
      const StepStats stats = trainer.step();
      EXPECT_FALSE(stats.applied);
      EXPECT_EQ(stats.loss, 0);
      EXPECT_EQ(stats.grad_norm, 0);
      EXPECT_EQ(stats.num_targets, 0);
      EXPECT_TRUE(at::equal(all_weights(*model), weights));
    }
    EXPECT_EQ(trainer.progress().skipped_in_a_row, 0);
    EXPECT_TRUE(trainer.step().applied);
  });
}

TEST(Trainer, EvaluationIsTheMeanOverEveryTargetWhateverTheRanks) {
  double expected = 0;
  {
    const std::unique_ptr<Model> model = tiny_model();
    TinyData data{.rows_per_micro_batch = 12};
    const Batch all = tiny_batches(data).next().at(0);
    const LossSum loss = cross_entropy(*model, all);
    expected = loss.sum.item<double>() / static_cast<double>(loss.count);
  }
  for (const int ranks : {1, 2, 4}) {
    on_ranks(ranks, [&](Mesh& mesh) {
      const std::unique_ptr<Model> model = tiny_model();
      const auto sharding = make_sharding(0, model->parameters(), mesh);
      const auto optimizer = make_optimizer({}, *sharding);
      Metrics metrics("");
      TinyData data = data_of(mesh.dp()),
               eval_data{.rows_per_micro_batch = 5, .rank = mesh.dp().rank(), .size = ranks};
      Trainer trainer({.mesh = mesh,
                       .model = *model,
                       .objective = cross_entropy,
                       .sharding = *sharding,
                       .optimizer = *optimizer,
                       .batches = tiny_batches(data),
                       .eval_batches = tiny_batches(eval_data),
                       .metrics = metrics},
                      {});
      const double loss = trainer.evaluate();
      EXPECT_NEAR(loss, expected, 1e-6 * expected);  // float32 sums of rows in another order
      EXPECT_EQ(trainer.evaluate(), loss);
    });
  }
}

TEST(Trainer, CountsStepsFromFractionsOfAnEpoch) {
  on_ranks(1, [](Mesh& mesh) {
    const std::unique_ptr<Model> model = tiny_model();
    const auto sharding = make_sharding(0, model->parameters(), mesh);
    const auto optimizer = make_optimizer({}, *sharding);
    Metrics metrics("");
    TinyData data = data_of(mesh.dp());  // 3 steps an epoch
    const auto total = [&](double epochs, int64_t max_steps) {
      Trainer::Options options;
      options.train.num_train_epochs = epochs;
      options.train.max_steps = max_steps;
      return Trainer({.mesh = mesh,
                      .model = *model,
                      .objective = cross_entropy,
                      .sharding = *sharding,
                      .optimizer = *optimizer,
                      .batches = tiny_batches(data),
                      .metrics = metrics},
                     options)
          .total_steps();
    };
    EXPECT_EQ(total(1, 0), 3);
    EXPECT_EQ(total(0.5, 0), 2);
    EXPECT_EQ(total(2.01, 0), 7);
    EXPECT_EQ(total(1, 5), 5);
  });
}

TEST(Trainer, SumsUpAtTheEnd) {
  TempFolder folder;
  Training run(folder.path());
  run.with_eval = true;
  start(run);
  const auto state = nlohmann::json::parse(read_file(folder / "trainer_state.json"));
  EXPECT_EQ(state["global_step"], 10);
  EXPECT_EQ(state["max_steps"], 10);
  const auto& history = state["log_history"];
  ASSERT_EQ(history.size(), 13u);  // eval, ten steps, eval, the summary
  EXPECT_EQ(history[0]["step"], 0);
  EXPECT_LT(history[11]["eval_loss"].get<double>(), history[0]["eval_loss"].get<double>());
  double sum = 0;
  for (int i = 1; i <= 10; ++i) sum += history[i]["loss"].get<double>();
  EXPECT_EQ(history[12]["train_loss"].get<double>(), sum / 10);
  for (const char* key : {"train_runtime", "train_samples_per_second", "train_steps_per_second"}) {
    EXPECT_GT(history[12][key].get<double>(), 0) << key;
  }
}

}  // namespace
}  // namespace lathe
