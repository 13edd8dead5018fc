#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "parallel/mesh.h"
#include "recipes/run_config.h"
#include "trainer/hf_folder.h"
#include "trainer/lora.h"
#include "trainer/metrics.h"

// The model that a recipe trains, whole or by adapters, as the config says. Keep it as long as the
// Sharding that its parameters went to.
namespace lathe {

struct TrainedModel {
  std::unique_ptr<Model> model;
  std::optional<Lora> lora;  // absent: the weights themselves are trained
  std::string base;          // the folder that the weights come from
  FillParameter fill = {};  // for shard(), where weights have no values yet

  std::vector<Parameter*> parameters() { return lora ? lora->parameters() : model->parameters(); }
  // beside: what is trained besides and is no part of the model.
  std::unique_ptr<Sharding> shard(const RunConfig& config, Mesh& mesh, const std::vector<Parameter*>& beside = {});
  // Of what shard() made; with the rates of LoRA+, where those are asked for.
  static std::unique_ptr<Optimizer> optimizer(const RunConfig& config, Sharding& sharding, Mesh& mesh);
  // The run's result: a Hugging Face folder, or a PEFT adapter with the tokenizer beside it.
  // `weights`: where whole weights come from, if not from this rank's own.
  void save(const std::string& folder, const std::string& tokenizer_folder,
            const WeightSource& weights = {});
  // Collective: rank 0 writes what all ranks of the mesh hold.
  void save(const std::string& folder, const std::string& tokenizer_folder, Sharding& sharding, Mesh& mesh);
};

// train.gradient_checkpointing, read.
Checkpointing checkpointing_of(const std::string& name);

TrainedModel make_trained_model(const RunConfig& config, Mesh& mesh);
// The same of a model that was made otherwise.
TrainedModel make_trained_model(const RunConfig& config, Mesh& mesh, std::unique_ptr<Model> model);
// What is trained of it, where that is not everything.
void say_trained(TrainedModel& trained, Metrics& metrics);

}  // namespace lathe
