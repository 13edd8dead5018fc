#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/shared.h"
#include "tests/tiny.h"
#include "trainer/hf_folder.h"
#include "trainer/lora.h"
#include "trainer/safetensors.h"
#include "trainer/trainer.h"

// Twelve steps of the reference implementation (transformers and torch), for every way to split a
// step over ranks, micro-batches and slices. The fixture's padded rows are fed without their
// padding.
namespace lathe {
namespace {

constexpr int64_t kRowsPerStep = 4;

// A trajectory of the reference, and the model that it begins with. With an adapter only that is
// trained.
struct Fixture {
  std::string name, model;
  bool adapter = false;

  std::string path(const std::string& file) const { return shared_path(name) + "/" + file; }
};

std::map<std::string, at::Tensor> read_tensors(const std::string& path) {
  const SafetensorsFile file(path);
  std::map<std::string, at::Tensor> result;
  for (const auto& [name, entry] : file.entries()) result[name] = file.tensor(name).clone();
  return result;
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

struct Row {
  std::vector<int64_t> tokens;
  std::vector<uint8_t> trained;
};

// [step][row of the step].
std::vector<std::vector<Row>> read_rows(const Fixture& fixture) {
  const auto tensors = read_tensors(fixture.path("batches.safetensors"));
  const at::Tensor ids = tensors.at("input_ids"), mask = tensors.at("attention_mask"),
                   labels = tensors.at("labels");
  const int64_t length = ids.size(3);
  std::vector<std::vector<Row>> steps(ids.size(0));
  for (int64_t r = 0; r < ids.numel() / length; ++r) {
    Row& row = steps[r / kRowsPerStep].emplace_back();
    for (int64_t i = 0; i < length; ++i) {
      if (mask.view({-1, length})[r][i].item<int64_t>() == 0) continue;
      row.tokens.push_back(ids.view({-1, length})[r][i].item<int64_t>());
      row.trained.push_back(labels.view({-1, length})[r][i].item<int64_t>() != kIgnore);
    }
  }
  return steps;
}

std::unique_ptr<Model> load(const Fixture& fixture, Mesh& mesh) {
  return load_model(shared_path("fixtures/models/" + fixture.model), at::kFloat, at::kCPU,
                    TensorParallel(mesh.tp(), /*sequence=*/true));
}

double worst(const at::Tensor& a, const at::Tensor& b) {
  return (a.detach() - b).abs().max().item<double>();
}

// The stream of one rank: its micro-batches of each step.
BatchSource source_of(const std::vector<std::vector<Row>>& steps, int micro_batches, Group& dp,
                      int64_t& step) {
  const auto next = [&steps, micro_batches, rank = dp.rank(), size = dp.size(), &step] {
    const std::vector<Row>& rows = steps.at(step++);
    const int64_t per_batch = kRowsPerStep / size / micro_batches;
    std::vector<Batch> batches;
    for (int64_t m = 0; m < micro_batches; ++m) {
      std::vector<DocumentView> documents;
      for (int64_t r = 0; r < per_batch; ++r) {
        const Row& row = rows[(rank * micro_batches + m) * per_batch + r];
        documents.push_back(
            {row.tokens.data(), row.trained.data(), static_cast<int64_t>(row.tokens.size())});
      }
      batches.push_back(make_batch(documents));
    }
    return batches;
  };
  return {.next = next,
          .state = [] { return LoaderState{}; },
          .seek = [](LoaderState) {},
          .take_wait_seconds = [] { return 0.0; },
          .steps_per_epoch = static_cast<int64_t>(steps.size()),
          .rows_per_epoch = kRowsPerStep * static_cast<int64_t>(steps.size())};
}

// Weights after the fourth and the last step, by the parameters' names.
std::map<std::string, at::Tensor> expected_weights(const Fixture& fixture, int step) {
  if (!fixture.adapter) {
    return read_tensors(
        fixture.path(step == 3 ? "weights_after_step3.safetensors" : "weights_final.safetensors"));
  }
  std::map<std::string, at::Tensor> result;
  if (step == 3) return result;
  for (const auto& [name, tensor] :
       read_tensors(fixture.path("final_adapter/adapter_model.safetensors"))) {
    result[name.substr(std::string("base_model.model.").size())] = tensor;
  }
  return result;
}

void expect_moments(const Fixture& fixture, Optimizer& optimizer) {
  const std::string path = fixture.path("optimizer_final.safetensors");
  if (!std::filesystem::exists(path)) return;
  const auto moments = read_tensors(path);
  int compared = 0;
  for (const StateSlice& slice : optimizer.state()) {
    if (slice.name.starts_with("master/")) continue;
    std::string name = slice.name;
    name[name.find('/')] = '.';
    const at::Tensor whole = part_of(moments.at(name), slice.cut).flatten();
    EXPECT_LT(
        worst(slice.values, whole.slice(0, slice.offset, slice.offset + slice.values.numel())),
        5e-5)
        << name;
    ++compared;
  }
  EXPECT_GE(compared, 2);
}

void expect_reference(const Fixture& fixture, Mesh& mesh,
                      const std::vector<std::vector<Row>>& steps, int micro_batches, int zero) {
  const auto expected = read_json(fixture.path("expected.json"));
  const auto& h = expected["hyperparameters"];
  const std::unique_ptr<Model> model = load(fixture, mesh);
  std::optional<Lora> lora;
  if (fixture.adapter) lora.emplace(Lora::read(*model, fixture.path("initial_adapter"), true));
  const std::vector<Parameter*> parameters = lora ? lora->parameters() : model->parameters();
  const auto sharding = shard_model(zero, *model, parameters, mesh, kBucketAlign);
  const auto optimizer = make_optimizer({.learning_rate = h["peak_lr"],
                                         .weight_decay = h["weight_decay"],
                                         .adam_beta1 = h["betas"][0],
                                         .adam_beta2 = h["betas"][1],
                                         .adam_epsilon = h["eps"]},
                                        *sharding);
  Metrics metrics("");
  int64_t position = 0;
  Trainer trainer({.mesh = mesh,
                   .model = *model,
                   .objective = cross_entropy,
                   .sharding = *sharding,
                   .optimizer = *optimizer,
                   .batches = source_of(steps, micro_batches, mesh.dp(), position),
                   .metrics = metrics},
                  {.train = {},
                   .schedule = {.lr_scheduler_type = "cosine",
                                .warmup_steps = h["warmup_steps"],
                                .min_lr_ratio = h["min_lr_ratio"]},
                   .learning_rate = h["peak_lr"],
                   .max_grad_norm = h["max_grad_norm"]});
  ASSERT_EQ(trainer.total_steps(), 12);
  for (const auto& reference : expected["steps"]) {
    const StepStats stats = trainer.step();
    EXPECT_NEAR(stats.loss, reference["loss"].get<double>(), 1e-5);
    EXPECT_NEAR(stats.grad_norm / reference["grad_norm"].get<double>(), 1, 1e-4);
    EXPECT_DOUBLE_EQ(stats.learning_rate, reference["lr"].get<double>());
    EXPECT_EQ(stats.num_targets, reference["valid_tokens"].get<int64_t>());
    if (reference["step"] != 3 && reference["step"] != 11) continue;
    const auto weights = expected_weights(fixture, reference["step"]);
    size_t compared = 0;
    for (int unit = 0; unit < sharding->num_units(); ++unit) sharding->begin_forward(unit);
    for (const Parameter* parameter : parameters) {
      if (!parameter->trained || weights.empty()) continue;
      const at::Tensor part = part_of(weights.at(parameter->name), parameter->cut);
      EXPECT_LT(worst(parameter->value, part), 5e-5) << parameter->name;
      ++compared;
    }
    for (int unit = 0; unit < sharding->num_units(); ++unit) sharding->end_forward(unit);
    EXPECT_EQ(compared, weights.size());
  }
  expect_moments(fixture, *optimizer);
}

void expect_reference_however_split(const Fixture& fixture) {
  const auto steps = read_rows(fixture);
  ASSERT_EQ(steps.size(), 12u);
  for (const int zero : {0, 1}) {
    for (const auto& [ranks, micro_batches] : {std::pair(1, 1), std::pair(1, 2), std::pair(1, 4),
                                               std::pair(2, 1), std::pair(2, 2), std::pair(4, 1)}) {
      SCOPED_TRACE(testing::Message() << fixture.name << ": " << ranks << " ranks, "
                                      << micro_batches << " micro-batches, zero " << zero);
      on_ranks(ranks,
               [&](Mesh& mesh) { expect_reference(fixture, mesh, steps, micro_batches, zero); });
    }
  }
  for (const auto& [dp, tp, zero] : {std::tuple(1, 2, 0), std::tuple(2, 2, 1), std::tuple(2, 1, 2),
                                     std::tuple(4, 1, 3), std::tuple(2, 2, 3)}) {
    SCOPED_TRACE(testing::Message()
                 << fixture.name << ": dp " << dp << ", tp " << tp << ", zero " << zero);
    run_world({.backend = "local", .ranks = dp * tp, .threads_per_rank = 1},
              [&, dp = dp, tp = tp, zero = zero](std::unique_ptr<Group> world) {
                Mesh mesh(std::move(world), {.dp = dp, .tp = tp});
                expect_reference(fixture, mesh, steps, 1, zero);
              });
  }
}

TEST(Trajectory, EqualsTheReferenceHoweverAStepIsSplit) {
  if (!have_shared("fixtures/train")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_reference_however_split({"fixtures/train/llama", "llama"});
  expect_reference_however_split({"fixtures/train/qwen3", "qwen3"});
}

TEST(Trajectory, OfAnAdapterEqualsTheReferenceHoweverAStepIsSplit) {
  if (!have_shared("fixtures/lora")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_reference_however_split({"fixtures/lora/llama/train_lora", "llama", true});
  expect_reference_however_split({"fixtures/lora/llama/train_dora", "llama", true});
}

}  // namespace
}  // namespace lathe
