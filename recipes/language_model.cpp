#include "recipes/language_model.h"

#include "recipes/exact_match.h"
#include "recipes/frozen_model.h"
#include "recipes/parts.h"
#include "recipes/run_frame.h"
#include "recipes/run_words.h"
#include "recipes/samples.h"
#include "recipes/trained_model.h"
#include "trainer/generate/generation_config.h"
#include "trainer/trainer.h"

namespace lathe {

int train_language_model(RunContext run) {
  const RunConfig& config = run.config;
  Mesh mesh(std::move(run.world), mesh_shape(config.parallel));
  Metrics metrics(mesh.world().rank() == 0 ? config.output_dir : "", run.console);

  const RunData data(run, mesh, metrics);
  const auto& [tokenizer_path, tokenizer, train, eval] = data;
  RunLoaders loaders = open_loaders(config, data, mesh);
  Loader& loader = loaders.train;
  const std::unique_ptr<Loader>& eval_loader = loaders.eval;

  TrainedModel trained = make_trained_model(config, mesh);
  Model* const model = trained.model.get();
  const std::unique_ptr<Sharding> sharding = trained.shard(config, mesh);
  const std::unique_ptr<Optimizer> optimizer = TrainedModel::optimizer(config, *sharding, mesh);
  record_run(run, tokenizer_path, tokenizer, train, mesh);
  say_start(config, *model, loader, mesh, metrics);
  say_first_example(train, tokenizer, metrics);
  say_trained(trained, metrics);
  const ChatFormat format(tokenizer, config.data.chat_template);
  record_chat_template(config, format, train, mesh);
  const std::vector<int64_t> stop_ids = stop_ids_of(config.model.model_name_or_path, model->config());
  say_end_of_turn(format, train, tokenizer, stop_ids, metrics);

  std::optional<Samples> samples;
  if (config.train.sample_steps > 0) samples.emplace(eval.empty() ? train : eval, config.train.num_samples, tokenizer, stop_ids);
  Trainer trainer({.mesh = mesh,
                   .model = *model,
                   .objective = token_loss(config.loss),
                   .sharding = *sharding,
                   .optimizer = *optimizer,
                   .batches = batches_of(loader),
                   .eval_batches = eval_loader ? std::optional(batches_of(*eval_loader)) : std::nullopt,
                   .metrics = metrics,
                   .eval_objective = cross_entropy,
                   .show_samples = [&](int64_t step) { samples->show(*model, step, config.output_dir, mesh, metrics); }},
                  trainer_options(run, *model, mesh));
  const std::function<ExactMatch()> ask = [&] {
    return exact_match(*model, tokenizer, config.data.exact_match, format, stop_ids, mesh,
                       meeting_of(config.parallel, mesh));
  };
  const bool asked = !config.data.exact_match.empty();
  if (!train_to_end(trainer, *optimizer, *sharding, metrics, asked ? ask : nullptr)) return 75;
  finish_run(config, trained, tokenizer_path, *sharding, mesh, metrics);
  return 0;
}

}  // namespace lathe
