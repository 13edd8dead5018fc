#include "recipes/trained_model.h"

#include <fmt/core.h>

#include <set>
#include <utility>

#include "recipes/parts.h"
#include "trainer/backward_optimizer.h"
#include "trainer/freeze.h"
#include "trainer/whole_weights.h"

namespace lathe {
namespace {

// Singular vectors may come out with other signs on another processor: rank 0's count.
void share_start(Lora& lora, Mesh& mesh) {
  const at::NoGradGuard no_grad;
  for (Parameter* parameter : lora.parameters()) {
    at::Tensor value = parameter->value.detach();
    mesh.world().broadcast(value, 0);
  }
}

// Whoever cuts gradients or weights fills these unit by unit, so that no rank has them twice or all at once; unless
// adapters begin with a look at them.
void fill_now_or_later(TrainedModel& trained, const std::function<void(Parameter&)>& fill, const RunConfig& config) {
  const LoraConfig& lora = config.lora;
  const bool looks = config.has_lora && (lora.use_dora || lora.init_lora_weights.starts_with("pissa") ||
                                         !lora.modules_to_save.empty() || !lora.trainable_token_indices.empty());
  const std::vector<Parameter*> weights = trained.model->parameters();
  if (config.parallel.zero < 2 || looks) {
    for (Parameter* weight : weights) fill(*weight);
    return;
  }
  trained.fill = [fill, own = std::set<Parameter*>(weights.begin(), weights.end())](Parameter& parameter) {
    if (!own.contains(&parameter)) return false;
    fill(parameter);
    return true;
  };
}

void choose_trained(TrainedModel& trained, const RunConfig& config, Mesh& mesh) {
  trained.model->set_checkpointing(checkpointing_of(config.train.gradient_checkpointing));
  if (!config.has_lora) {
    freeze_parameters(*trained.model,
                      {.freeze = config.model.freeze,
                       .unfrozen_parameters = config.model.unfrozen_parameters,
                       .trainable_layers = config.model.freeze_trainable_layers});
    return;
  }
  trained.lora.emplace(*trained.model, config.lora, static_cast<uint64_t>(config.seed));
  if (config.lora.init_lora_weights.starts_with("pissa")) share_start(*trained.lora, mesh);
}

}  // namespace

Checkpointing checkpointing_of(const std::string& name) {
  if (name == "selective") return Checkpointing::kSelective;
  return name == "true" ? Checkpointing::kBlock : Checkpointing::kOff;
}

TrainedModel make_trained_model(const RunConfig& config, Mesh& mesh) {
  UnfilledModel opened = make_or_open_model(config, mesh);
  TrainedModel trained{.model = std::move(opened.model), .lora = std::nullopt, .base = config.model.model_name_or_path};
  fill_now_or_later(trained, opened.fill, config);
  choose_trained(trained, config, mesh);
  return trained;
}

TrainedModel make_trained_model(const RunConfig& config, Mesh& mesh, std::unique_ptr<Model> model) {
  TrainedModel trained{.model = std::move(model), .lora = std::nullopt, .base = config.model.model_name_or_path};
  choose_trained(trained, config, mesh);
  return trained;
}

void say_trained(TrainedModel& trained, Metrics& metrics) {
  int64_t all = 0, chosen = 0;
  for (const Parameter* parameter : trained.parameters()) {
    all += parameter->whole_numel();
    chosen += parameter->trained ? parameter->whole_numel() : 0;
  }
  if (chosen == all) return;
  metrics.note(fmt::format("trained: {} of {} numbers ({:.2f} %){}", chosen, all,
                           100.0 * static_cast<double>(chosen) / static_cast<double>(all),
                           trained.lora ? " in adapters" : ""));
}

std::unique_ptr<Sharding> TrainedModel::shard(const RunConfig& config, Mesh& mesh,
                                              const std::vector<Parameter*>& beside) {
  // Gradients that pass are cut by units, as with 2.
  const int64_t zero = config.optimizer.optimizer_in_bwd ? std::max<int64_t>(2, config.parallel.zero)
                                                         : config.parallel.zero;
  const bool cut = zero >= 1 && mesh.dp().size() > 1;
  if (cut && needs_whole_parameters(config.optimizer)) {
    throw std::invalid_argument(fmt::format(
        "optimizer.optim {} looks at whole matrices, which parallel.zero {} cuts over {} ranks; use parallel.zero: 0",
        config.optimizer.optim, zero, mesh.dp().size()));
  }
  std::vector<Parameter*> all = parameters();
  all.insert(all.end(), beside.begin(), beside.end());
  return shard_model(static_cast<int>(zero), *model, all, mesh,
                     slice_alignment(config.optimizer), std::exchange(fill, {}));
}

std::unique_ptr<Optimizer> TrainedModel::optimizer(const RunConfig& config, Sharding& sharding, Mesh& mesh) {
  OptimizerConfig own = config.optimizer;
  if (config.has_lora && config.lora.loraplus_lr_ratio != 1)
    own.lr_groups.push_back({.pattern = R"(\.lora_B\.)", .lr_scale = config.lora.loraplus_lr_ratio});
  return own.optimizer_in_bwd ? make_backward_optimizer(own, sharding, mesh) : make_optimizer(own, sharding);
}

void TrainedModel::save(const std::string& folder, const std::string& tokenizer_folder,
                        const WeightSource& weights) {
  if (lora) {
    lora->write(folder, base, weights);
    carry_tokenizer(tokenizer_folder, folder);
  } else {
    save_model(*model, folder, tokenizer_folder,
               model->parameters().front()->value.scalar_type(), int64_t{5} << 30, weights);
  }
}

void TrainedModel::save(const std::string& folder, const std::string& tokenizer_folder, Sharding& sharding, Mesh& mesh) {
  with_whole_weights(*model, parameters(), sharding, mesh,
                     [&](const WeightSource& weights) { save(folder, tokenizer_folder, weights); });
}

}  // namespace lathe
