#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/shared.h"
#include "tests/tiny.h"
#include "tests/trainer/parity.h"
#include "trainer/hf_folder.h"
#include "trainer/trainer.h"

// Ten steps of TRL's SFTTrainer, from its own batches: loss and gradient norm of every step, and
// the final weights.
namespace lathe {
namespace {

// The padded rows of one micro-batch, without their padding.
Batch batch_of_rows(const std::map<std::string, at::Tensor>& tensors, const std::string& name) {
  const at::Tensor ids = tensors.at(name + ".input_ids"), labels = tensors.at(name + ".labels"),
                   mask = tensors.at(name + ".attention_mask");
  std::vector<Document> documents;
  for (int64_t row = 0; row < ids.size(0); ++row) {
    const at::Tensor chosen = mask[row].nonzero().squeeze(1);
    documents.push_back({to_vector(ids[row].index_select(0, chosen)),
                         to_vector(labels[row].index_select(0, chosen))});
  }
  return batch_of(documents);
}

void expect_run(const std::string& run) {
  SCOPED_TRACE(run);
  const std::string folder = shared_path("fixtures/trl/" + run);
  std::ifstream in(folder + "/expected.json");
  const auto expected = nlohmann::json::parse(in);
  const auto& h = expected["hyperparameters"];
  const auto tensors = read_tensors(folder + "/batches.safetensors");
  on_ranks(1, [&](Mesh& mesh) {
    const auto model = load_model(shared_path("fixtures/trl/model"), at::kFloat, at::kCPU);
    const auto sharding = make_sharding(1, model->parameters(), mesh);
    const auto optimizer = make_optimizer({.weight_decay = h["weight_decay"],
                                           .adam_beta1 = h["adam_beta1"],
                                           .adam_beta2 = h["adam_beta2"],
                                           .adam_epsilon = h["adam_epsilon"]},
                                          *sharding);
    Metrics metrics("");
    int64_t step = 0;
    const auto next = [&] {
      std::vector<Batch> batches;
      for (int64_t m = 0; m < h["gradient_accumulation_steps"]; ++m) {
        batches.push_back(
            batch_of_rows(tensors, "step" + std::to_string(step) + ".micro" + std::to_string(m)));
      }
      ++step;
      return batches;
    };
    Trainer trainer({.mesh = mesh,
                     .model = *model,
                     .objective = cross_entropy,
                     .sharding = *sharding,
                     .optimizer = *optimizer,
                     .batches = {.next = next,
                                 .state = [] { return LoaderState{}; },
                                 .seek = [](LoaderState) {},
                                 .take_wait_seconds = [] { return 0.0; },
                                 .steps_per_epoch = h["max_steps"],
                                 .rows_per_epoch = 4},
                     .metrics = metrics},
                    {.schedule = {.lr_scheduler_type = h["lr_scheduler_type"]},
                     .learning_rate = h["learning_rate"],
                     .max_grad_norm = h["max_grad_norm"]});
    for (const auto& reference : expected["steps"]) {
      const StepStats stats = trainer.step();
      EXPECT_NEAR(stats.loss / reference["loss"].get<double>(), 1, 1e-4);
      EXPECT_NEAR(stats.grad_norm / reference["grad_norm"].get<double>(), 1, 1e-4);
      EXPECT_NEAR(stats.learning_rate, reference["learning_rate"].get<double>(), 1e-12);
    }
    EXPECT_EQ(step, 10);
    const auto final_weights = read_tensors(folder + "/weights_final.safetensors");
    for (const Parameter* p : model->parameters())
      EXPECT_LT(worst(p->value, final_weights.at(p->name)), 5e-5) << p->name;
  });
}

TEST(Trl, SftTrajectoriesAreTheSame) {
  if (!have_shared("fixtures/trl/sft")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int runs = 0;
  for (const char* run : {"sft", "sft_full_sequence"}) {
    if (!have_shared(std::string("fixtures/trl/") + run)) continue;  // not in every set
    expect_run(run);
    ++runs;
  }
  EXPECT_GE(runs, 1);
}

}  // namespace
}  // namespace lathe
