// A reward model: how much better one answer is than another, as one number for each.
#include "recipes/reward.h"

#include <fmt/core.h>

#include <algorithm>

#include "recipes/parts.h"
#include "recipes/preference_batches.h"
#include "recipes/run_frame.h"
#include "recipes/trained_model.h"
#include "trainer/objective/reward.h"
#include "trainer/scored_model.h"

namespace lathe {
namespace {

// With adapters, the head is trained whole: it is new.
RunConfig with_trained_score(RunConfig config) {
  std::vector<std::string>& saved = config.lora.modules_to_save;
  if (config.has_lora && std::find(saved.begin(), saved.end(), "score") == saved.end())
    saved.push_back("score");
  return config;
}

std::unique_ptr<ScoredModel> make_scored(const RunConfig& config, Mesh& mesh) {
  const at::Device device = mesh.device();
  const TensorParallel tp = tensor_parallel(config.parallel, mesh);
  const std::string& folder = config.model.model_name_or_path;
  const at::ScalarType dtype = compute_dtype(config.model.dtype, device);
  const auto seed = static_cast<uint64_t>(config.seed);
  if (!config.model.from_scratch) return ScoredModel::load(folder, dtype, device, seed, tp);
  ModelConfig model = read_model_config(folder), body = model;
  body.tie_word_embeddings = true;
  auto scored = std::make_unique<ScoredModel>(make_model(body, dtype, device, tp), model, seed);
  initialize(*scored, seed);
  return scored;
}

}  // namespace

void reward_defaults(RunConfig& config) {
  config.optimizer.learning_rate = 1e-4;
  config.data.packing = "false";
}

int train_reward(RunContext run) {
  run.config = with_trained_score(std::move(run.config));
  const RunConfig& config = run.config;
  Mesh mesh(std::move(run.world), mesh_shape(config.parallel));
  Metrics metrics(mesh.world().rank() == 0 ? config.output_dir : "", run.console);

  const RunData data(run, mesh, metrics);
  const auto& [tokenizer_path, tokenizer, train, eval] = data;
  check_preference_data(train, /*unpaired=*/false);
  check_preference_data(eval, /*unpaired=*/false);
  RunLoaders loaders = open_loaders(
      config, data, mesh, [](LoaderOptions options) { return preference_options(std::move(options), false, false); });
  Loader& loader = loaders.train;
  const std::unique_ptr<Loader>& eval_loader = loaders.eval;

  std::unique_ptr<ScoredModel> made = make_scored(config, mesh);
  ScoredModel& scored = *made;
  TrainedModel trained = make_trained_model(config, mesh, std::move(made));
  const std::unique_ptr<Sharding> sharding = trained.shard(config, mesh);
  const std::unique_ptr<Optimizer> optimizer = TrainedModel::optimizer(config, *sharding, mesh);
  record_run(run, tokenizer_path, tokenizer, train, mesh);
  record_chat_template(config, ChatFormat(tokenizer, config.data.chat_template), train, mesh);
  const PackingReport report = loader.report();
  metrics.note(fmt::format("data: {} pairs, {} tokens, {} steps an epoch", report.documents,
                           report.tokens, loader.steps_per_epoch()));
  say_trained(trained, metrics);

  RewardLoss loss(config.reward, scored);
  Trainer trainer(
      {.mesh = mesh,
       .model = scored,
       .objective = [&loss](Model&, const Batch& batch) { return loss(batch); },
       .sharding = *sharding,
       .optimizer = *optimizer,
       .batches = batches_of(loader),
       .eval_batches = eval_loader ? std::optional(batches_of(*eval_loader)) : std::nullopt,
       .metrics = metrics,
       .take_metrics = [&](bool evaluation) { return loss.take_metrics(mesh.dp(), evaluation); }},
      trainer_options(run, scored, mesh));
  if (!train_to_end(trainer, *optimizer, *sharding, metrics)) return 75;
  finish_run(config, trained, tokenizer_path, *sharding, mesh, metrics);
  return 0;
}

}  // namespace lathe
