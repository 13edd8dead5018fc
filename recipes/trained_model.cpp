#include "recipes/trained_model.h"

#include <fmt/core.h>

#include "recipes/parts.h"
#include "trainer/freeze.h"
#include "trainer/hf_folder.h"

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

Checkpointing checkpointing_of(const std::string& name) {
  if (name == "selective") return Checkpointing::kSelective;
  return name == "true" ? Checkpointing::kBlock : Checkpointing::kOff;
}

}  // namespace

TrainedModel make_trained_model(const RunConfig& config, Mesh& mesh) {
  return make_trained_model(config, mesh, make_or_load_model(config, mesh.device()));
}

TrainedModel make_trained_model(const RunConfig& config, Mesh& mesh, std::unique_ptr<Model> model) {
  TrainedModel trained{.model = std::move(model),
                       .lora = std::nullopt,
                       .base = config.model.model_name_or_path};
  trained.model->set_checkpointing(checkpointing_of(config.train.gradient_checkpointing));
  if (!config.has_lora) {
    freeze_parameters(*trained.model,
                      {.freeze = config.model.freeze,
                       .unfrozen_parameters = config.model.unfrozen_parameters,
                       .trainable_layers = config.model.freeze_trainable_layers});
    return trained;
  }
  trained.lora.emplace(*trained.model, config.lora, static_cast<uint64_t>(config.seed));
  if (config.lora.init_lora_weights.starts_with("pissa")) share_start(*trained.lora, mesh);
  return trained;
}

void say_trained(TrainedModel& trained, Metrics& metrics) {
  int64_t all = 0, chosen = 0;
  for (const Parameter* parameter : trained.parameters()) {
    all += parameter->value.numel();
    chosen += parameter->trained ? parameter->value.numel() : 0;
  }
  if (chosen == all) return;
  metrics.note(fmt::format("trained: {} of {} numbers ({:.2f} %){}", chosen, all,
                           100.0 * static_cast<double>(chosen) / static_cast<double>(all),
                           trained.lora ? " in adapters" : ""));
}

std::unique_ptr<Sharding> TrainedModel::shard(const RunConfig& config, Mesh& mesh) {
  const bool cut = config.parallel.zero == 1 && mesh.dp().size() > 1;
  if (cut && needs_whole_parameters(config.optimizer)) {
    throw std::invalid_argument(fmt::format(
        "optimizer.optim {} looks at whole matrices, which parallel.zero 1 cuts over {} ranks; use parallel.zero: 0",
        config.optimizer.optim, mesh.dp().size()));
  }
  return make_sharding(static_cast<int>(config.parallel.zero), parameters(), mesh,
                       slice_alignment(config.optimizer));
}

OptimizerConfig TrainedModel::optimizer_config(const RunConfig& config) {
  OptimizerConfig result = config.optimizer;
  if (config.has_lora && config.lora.loraplus_lr_ratio != 1)
    result.lr_groups.push_back({.pattern = R"(\.lora_B\.)", .lr_scale = config.lora.loraplus_lr_ratio});
  return result;
}

void TrainedModel::save(const std::string& folder, const std::string& tokenizer_folder) {
  if (lora) {
    lora->write(folder, base);
    carry_tokenizer(tokenizer_folder, folder);
  } else {
    save_model(*model, folder, tokenizer_folder,
               model->parameters().front()->value.scalar_type());
  }
}

}  // namespace lathe
