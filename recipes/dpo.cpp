// Preference optimisation: pairs of a better and a worse answer, or single answers that are good or not.
#include "recipes/dpo.h"

#include <fmt/core.h>

#include <cmath>

#include "recipes/frozen_model.h"
#include "recipes/moving_reference.h"
#include "recipes/parts.h"
#include "recipes/preference_batches.h"
#include "recipes/run_frame.h"
#include "recipes/trained_model.h"
#include "trainer/agree.h"
#include "trainer/hf_folder.h"
#include "trainer/trainer.h"

namespace lathe {
namespace {

int64_t items_of(const Datasets& datasets) {
  int64_t items = 0;
  for (const auto& dataset : datasets) items += dataset->documents();
  return items;
}

int64_t steps_needed(const TrainConfig& train, const Loader& loader) {
  if (train.max_steps > 0) return std::min(train.max_steps, loader.steps_per_epoch());
  const double steps = train.num_train_epochs * static_cast<double>(loader.steps_per_epoch());
  return std::min(static_cast<int64_t>(std::ceil(steps)), loader.steps_per_epoch());
}

// Where policy and reference are the same model, the loss has a value that is known beforehand.
void check_start(PreferenceLoss& loss, PreferenceSource& source, bool narrow, Metrics& metrics) {
  if (!loss.has_start() || loss.config().use_weighting) return;
  const at::NoGradGuard no_grad;
  at::Tensor sums = at::zeros({2}, at::kDouble);
  for (const Batch& batch : source.next()) {
    if (batch.num_targets == 0 && !source.meets) continue;
    sums[0] += loss(source.policy, batch.to(source.mesh.device())).sum.cpu();
    sums[1] += static_cast<double>(batch.num_targets);
  }
  source.loader.seek({});
  sums = sums.to(source.mesh.device());
  source.mesh.dp().all_reduce(sums, Reduce::kSum);
  loss.take_metrics(source.mesh.dp(), true);
  const double found = sums[0].item<double>() / sums[1].item<double>(), expected = loss.at_start();
  const double tolerance = (narrow ? 0.1 : 2e-3) * std::max(1.0, expected);
  if (std::abs(found - expected) <= tolerance) {
    metrics.note(fmt::format("self-check: loss before the first step {:.6f}, expected {:.6f}", found, expected));
    return;
  }
  throw std::runtime_error(fmt::format(
      "dpo: the loss before the first step is {}, but where policy and reference are the same model it must be {}: the "
      "reference's log-probabilities are not those of this model and these data; remove the cache's folder reference",
      found, expected));
}

// The reference as a table made beforehand, or as a second model.
struct Reference {
  FrozenModel model;
  Lora* adapters = nullptr;  // the policy's: with them off, it is the reference
  std::unique_ptr<ReferenceLogProbs> train, eval;
};

FrozenModel load_reference(const RunConfig& config, Mesh& mesh) {
  const std::string& folder = config.dpo.ref_model_name_or_path;
  UnfilledModel opened = folder.empty() ? make_or_open_model(config, mesh)
                                        : open_model(resolve_model_folder(folder), compute_dtype(config.model.dtype, mesh.device()),
                                                     mesh.device(), tensor_parallel(config.parallel, mesh));
  return freeze_model(std::move(opened), config.parallel, mesh);
}

Reference make_reference(const RunConfig& config, const PreferenceLoss& loss, const std::string& cache_dir,
                         const Datasets& train, const Datasets& eval, Loader& loader, Loader* eval_loader, TrainedModel& policy,
                         Mesh& mesh, Metrics& metrics) {
  Reference reference;
  if (!loss.needs_reference()) return reference;
  // Mismatched answers are others in every epoch, and LD-DPO's sums are not those that are kept.
  const bool table = config.dpo.precompute_ref_log_probs && !loss.needs_kl() && config.dpo.ld_alpha == 1 &&
                     !config.model.from_scratch && !config.dpo.sync_ref_model;
  const bool other = !config.dpo.ref_model_name_or_path.empty();
  if (!table && !other && policy.lora) {
    if (config.dpo.sync_ref_model) {
      throw std::invalid_argument(
          "dpo.sync_ref_model does not go with lora: the reference is the model with its adapters off, which can not follow");
    }
    reference.adapters = &*policy.lora;
    metrics.note("reference: the model with its adapters off");
    return reference;
  }
  if (!table || other) reference.model = load_reference(config, mesh);
  if (!table) return reference;
  Model& model = other ? *reference.model.model : *policy.model;
  const std::string folder = other ? resolve_model_folder(config.dpo.ref_model_name_or_path) : config.model.model_name_or_path;
  const auto make = [&](const Datasets& data, Loader& rows, int64_t steps) {
    const std::string path =
        reference_cache_path(config.data.cache_dir.empty() ? cache_dir : config.data.cache_dir, folder,
                             model.parameters().front()->value.scalar_type(), data, mesh);
    auto made = std::make_unique<ReferenceLogProbs>(path, items_of(data), loss.is_unpaired() ? 1 : 2, mesh);
    made->complete(model, rows, steps, metrics, meeting_of(config.parallel, mesh));
    return made;
  };
  reference.train = make(train, loader, steps_needed(config.train, loader));
  if (eval_loader != nullptr) reference.eval = make(eval, *eval_loader, eval_loader->steps_per_epoch());
  reference.model.model.reset();
  reference.model.sharding.reset();
  return reference;
}

}  // namespace

void dpo_defaults(RunConfig& config) {
  config.optimizer.learning_rate = 1e-6;
  config.data.packing = "false";
}

int train_preferences(RunContext run) {
  const RunConfig& config = run.config;
  Mesh mesh(std::move(run.world), mesh_shape(config.parallel));
  Metrics metrics(mesh.world().rank() == 0 ? config.output_dir : "", run.console);
  PreferenceLoss loss(config.dpo);

  const RunData data(run, mesh, metrics);
  const auto& [tokenizer_path, tokenizer, train, eval] = data;
  check_preference_data(train, loss.is_unpaired());
  check_preference_data(eval, loss.is_unpaired());
  RunLoaders loaders = open_loaders(config, data, mesh, [&](LoaderOptions options) {
    return preference_options(std::move(options), loss.is_unpaired(), loss.needs_kl());
  });
  Loader& loader = loaders.train;
  const std::unique_ptr<Loader>& eval_loader = loaders.eval;

  TrainedModel trained = make_trained_model(config, mesh);
  Model& policy = *trained.model;
  const std::unique_ptr<Sharding> sharding = trained.shard(config, mesh);
  std::unique_ptr<Optimizer> optimizer = TrainedModel::optimizer(config, *sharding, mesh);
  record_run(run, tokenizer_path, tokenizer, train, mesh);
  record_chat_template(config, ChatFormat(tokenizer, config.data.chat_template), train, mesh);
  const PackingReport report = loader.report();
  metrics.note(fmt::format("data: {} {}, {} tokens ({} trained), {} steps an epoch", report.documents,
                           loss.is_unpaired() ? "answers" : "pairs", report.tokens, report.targets, loader.steps_per_epoch()));
  say_trained(trained, metrics);

  const Reference reference =
      make_reference(config, loss, run.cache_dir, train, eval, loader, eval_loader.get(), trained, mesh, metrics);
  const bool meets = meeting_of(config.parallel, mesh) != nullptr;
  Model* const second = reference.model.model.get();
  PreferenceSource source{mesh, loader, loss, policy, reference.train.get(), second, reference.adapters, meets};
  if (config.dpo.sync_ref_model && second != nullptr) {
    auto moving = std::make_unique<MovingReference>(std::move(optimizer), policy, *second,
                                                    config.dpo.ref_model_mixup_alpha, config.dpo.ref_model_sync_steps);
    source.before_step = [&moved = *moving] { moved.move_if_due(); };
    optimizer = std::move(moving);
  }
  std::optional<PreferenceSource> eval_source;
  if (eval_loader) eval_source.emplace(PreferenceSource{mesh, *eval_loader, loss, policy, reference.eval.get(), second, reference.adapters, meets});
  const bool narrow = policy.parameters().front()->value.scalar_type() != at::kFloat;
  if (loss.needs_reference() && config.dpo.ref_model_name_or_path.empty()) check_start(loss, source, narrow, metrics);

  Trainer trainer({.mesh = mesh,
                   .model = policy,
                   .objective = [&loss](Model& model, const Batch& batch) { return loss(model, batch); },
                   .sharding = *sharding,
                   .optimizer = *optimizer,
                   .batches = batches_of(source),
                   .eval_batches = eval_source ? std::optional(batches_of(*eval_source)) : std::nullopt,
                   .metrics = metrics,
                   .take_metrics = [&](bool evaluation) { return loss.take_metrics(mesh.dp(), evaluation); }},
                  trainer_options(run, *trained.model, mesh));
  if (!train_to_end(trainer, *optimizer, *sharding, metrics)) return 75;
  finish_run(config, trained, tokenizer_path, *sharding, mesh, metrics);
  return 0;
}

}  // namespace lathe
