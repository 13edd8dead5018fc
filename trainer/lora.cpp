#include "trainer/lora.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

#include "trainer/hf_folder.h"
#include "trainer/lora_init.h"
#include "trainer/lora_targets.h"
#include "trainer/models/linear_layer.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

std::string module_of(const Parameter& parameter) {
  return parameter.name.substr(0, parameter.name.rfind('.'));
}

void freeze(Parameter& parameter) {
  parameter.trained = false;
  parameter.grad.reset();
  parameter.value.set_requires_grad(false);
}

Parameter adapter_parameter(const std::string& name, std::vector<int64_t> shape, const Cut& cut,
                            at::Device device, bool trained) {
  if (!cut.runs.empty()) shape = cut.part_shape();
  const at::Tensor value = at::zeros(shape, at::TensorOptions(at::kFloat).device(device));
  return {.name = name,
          .value = value.set_requires_grad(trained),
          .grad = {},
          .trained = trained,
          .cut = cut};
}

// The cut of a matrix that has the same outputs, or inputs, as the weight.
Cut cut_like(const Cut& weight, std::vector<int64_t> shape, int64_t dim) {
  if (weight.runs.empty()) return {};
  return {.shape = std::move(shape), .dim = dim, .runs = weight.runs};
}

std::vector<std::string> module_names(Model& model) {
  std::vector<std::string> names;
  for (const LinearLayer* layer : model.linear_layers()) names.push_back(layer->name());
  return names;
}

[[noreturn]] void refuse_target(const std::string& key, const std::string& target, Model& model) {
  std::set<std::string> ends;
  for (const std::string& name : module_names(model)) ends.insert(name.substr(name.rfind('.') + 1));
  std::string known;
  for (const std::string& end : ends) known += (known.empty() ? "" : ", ") + end;
  throw std::invalid_argument("lora." + key + ": `" + target + "` names no linear layer of this " +
                              model.config().model_type + "; expected all-linear or some of " +
                              known);
}

void exchange(at::Tensor& held, Parameter& parameter) {
  const at::Tensor now = parameter.value.detach().clone();
  parameter.value.detach().copy_(held);
  held = now;
}

std::vector<int64_t> token_ids(const LoraConfig& config, int64_t vocabulary) {
  std::vector<int64_t> ids;
  for (const std::string& text : config.trainable_token_indices) {
    size_t used = 0;
    int64_t id = -1;
    try {
      id = std::stoll(text, &used);
    } catch (const std::exception&) {
    }
    if (used != text.size() || id < 0 || id >= vocabulary || std::ranges::count(ids, id) > 0) {
      throw std::invalid_argument("lora.trainable_token_indices: `" + text +
                                  "`; expected different ids below " + std::to_string(vocabulary));
    }
    ids.push_back(id);
  }
  return ids;
}

}  // namespace

Lora::Lora(Model& model, LoraConfig config) : model_(&model), config_(std::move(config)) {
  for (Parameter* parameter : model.parameters()) freeze(*parameter);
}

Lora::Lora(Model& model, LoraConfig config, uint64_t seed) : Lora(model, std::move(config)) {
  const std::vector<std::string>& targets = config_.lora_target_modules;
  const std::string unmatched = unmatched_target(targets, module_names(model));
  if (!unmatched.empty() || targets.empty()) refuse_target("lora_target_modules", unmatched, model);
  for (LinearLayer* layer : model.linear_layers()) {
    if (!is_target({.lora = config_}, layer->name())) continue;
    attach(*layer, true);
    initialize(layers_.back(), seed);
  }
  save_modules();
  train_tokens();
}

void Lora::attach(LinearLayer& layer, bool trained) {
  const std::string name = layer.name();
  if (layer.adapter) throw std::invalid_argument("lora: " + name + " has an adapter already");
  const int64_t rank = std::llround(
      pattern_value(config_.rank_pattern, name).value_or(static_cast<double>(config_.lora_r)));
  const double alpha = pattern_value(config_.alpha_pattern, name).value_or(config_.lora_alpha);
  const std::vector<int64_t> whole = layer.weight.whole_shape();
  const int64_t out = whole[layer.transposed ? 1 : 0], in = whole[layer.transposed ? 0 : 1];
  const Cut& cut = layer.weight.cut;
  const TensorParallel& tp = model_->tensor_parallel();
  if (rank < 1 || rank > 1 << 16)
    throw std::invalid_argument("lora: rank " + std::to_string(rank) + " of " + name);
  const bool by_inputs = layer.summand;
  const auto make = [&](const char* end, const std::vector<int64_t>& shape, const Cut& part) {
    return adapter_parameter(name + end, shape, part, layer.weight.value.device(), trained);
  };
  // What is not cut is at every rank, which has a summand of its gradient.
  const auto make_out = [&](const char* end, const std::vector<int64_t>& shape) {
    Parameter made = make(end, shape, by_inputs ? tp.copy(shape) : cut_like(cut, shape, 0));
    made.partial = by_inputs || layer.weight.partial;
    return made;
  };
  auto adapter = std::make_unique<LinearAdapter>();
  const std::vector<int64_t> shape{rank, in};
  adapter->a = make(".lora_A.weight", shape, by_inputs ? cut_like(cut, shape, 1) : tp.copy(shape));
  adapter->a.partial = !by_inputs;
  adapter->b = make_out(".lora_B.weight", {out, rank});
  if (config_.use_dora) adapter->magnitude = make_out(".lora_magnitude_vector", {out});
  if (by_inputs) {
    adapter->first_input = cut.runs.front().begin;
    adapter->inputs = tp;
  }
  const auto r = static_cast<double>(rank);
  adapter->scale = alpha / (config_.use_rslora ? std::sqrt(r) : r);
  adapter->dropout = config_.lora_dropout;
  adapter->stream = hash_name(name);
  layer.adapter = std::move(adapter);
  layers_.push_back({&layer, rank, alpha, {}, {}});
}

void Lora::initialize(Layer& layer, uint64_t seed) {
  const at::NoGradGuard no_grad;
  LinearAdapter& adapter = *layer.layer->adapter;
  const LinearWeights base = layer.layer->weights();
  if (config_.init_lora_weights.starts_with("pissa") && !base.weight->cut.is_whole()) {
    throw std::invalid_argument("lora.init_lora_weights " + config_.init_lora_weights +
                                " looks at whole weights, but " + base.weight->name +
                                " is cut over ranks; use parallel.tp: 1");
  }
  init_lora(adapter.weights(), base, config_.init_lora_weights, seed);
  if (adapter.magnitude) adapter.magnitude->value.copy_(adapted_norm(base, adapter.weights()));
  if (!config_.init_lora_weights.starts_with("pissa")) return;
  layer.a = adapter.a.value.detach().clone();
  layer.b = adapter.b.value.detach().clone();
}

void Lora::save_modules() {
  for (const std::string& key : config_.modules_to_save) {
    bool found = false;
    const bool tied_head = key == "lm_head" && model_->config().tie_word_embeddings;
    for (Parameter* parameter : model_->parameters()) {
      const bool tied = tied_head && parameter == model_->parameters().front();
      if (!tied && !names_module({key}, module_of(*parameter), false)) continue;
      found = true;
      const std::string file_name = tied ? "lm_head.weight" : parameter->name;
      const auto known = std::ranges::find(saved_, parameter, &Saved::parameter);
      if (known != saved_.end()) {
        known->file_names.push_back(file_name);
        continue;
      }
      saved_.push_back({parameter, parameter->value.detach().clone(), {file_name}});
      parameter->trained = true;
      parameter->value.set_requires_grad(true);
    }
    if (!found) {
      throw std::invalid_argument("lora.modules_to_save: `" + key +
                                  "` names no module of the model; expected for instance " +
                                  module_of(*model_->parameters().front()));
    }
  }
  for (const Layer& layer : layers_) {
    if (layer.layer->weight.trained) {
      throw std::invalid_argument("lora: " + layer.layer->name() +
                                  " is in lora_target_modules and in modules_to_save; keep one");
    }
  }
}

void Lora::train_tokens() {
  token_ids_ = token_ids(config_, model_->config().vocab_size);
  if (token_ids_.empty()) return;
  Parameter& table = *model_->parameters().front();
  if (table.trained) {
    throw std::invalid_argument(
        "lora.trainable_token_indices and modules_to_save both train the embeddings; keep one");
  }
  if (!table.cut.is_whole()) {
    throw std::invalid_argument(
        "lora.trainable_token_indices: the embeddings are cut over ranks; use parallel.tp: 1");
  }
  table.row_ids = at::tensor(token_ids_, at::kLong).to(table.value.device());
  token_rows_ = std::make_unique<Parameter>(
      adapter_parameter(module_of(table) + ".token_adapter.trainable_tokens_delta",
                        {static_cast<int64_t>(token_ids_.size()), table.value.size(1)}, {},
                        table.value.device(), true));
  token_rows_->value.data().copy_(table.value.detach().index_select(0, table.row_ids));
  table.rows = token_rows_.get();
  saved_.push_back({token_rows_.get(), token_rows_->value.detach().clone(), {}});
}

std::vector<Parameter*> Lora::parameters() {
  std::vector<Parameter*> all = model_->parameters();
  for (Layer& layer : layers_) {
    LinearAdapter& adapter = *layer.layer->adapter;
    all.push_back(&adapter.a);
    all.push_back(&adapter.b);
    if (adapter.magnitude) all.push_back(&*adapter.magnitude);
  }
  if (token_rows_) all.push_back(token_rows_.get());
  return all;
}

int64_t Lora::num_trained() {
  int64_t count = 0;
  for (const Parameter* parameter : parameters()) {
    if (parameter->trained) count += parameter->whole_numel();
  }
  return count;
}

void Lora::merge() {
  const at::NoGradGuard no_grad;
  for (Layer& layer : layers_) {
    const LinearWeights base = layer.layer->weights();
    layer.layer->weight.value.copy_(merged_weight(base, layer.layer->adapter->weights()));
    layer.layer->adapter.reset();
  }
  layers_.clear();
}

void Lora::swap_saved() {
  for (Saved& saved : saved_) exchange(saved.original, *saved.parameter);
}

void Lora::set_enabled(bool enabled) {
  if (enabled == enabled_) return;
  const at::NoGradGuard no_grad;
  enabled_ = enabled;
  swap_saved();
  for (Layer& layer : layers_) {
    LinearAdapter& adapter = *layer.layer->adapter;
    if (!layer.a.defined()) {
      adapter.enabled = enabled;
      continue;
    }
    exchange(layer.a, adapter.a);
    exchange(layer.b, adapter.b);
  }
}

std::unique_ptr<Model> load_adapted_model(const std::string& folder, const std::string& adapter,
                                          at::ScalarType dtype, at::Device device) {
  std::unique_ptr<Model> model = load_model(folder, dtype, device);
  if (!adapter.empty()) Lora::read(*model, adapter);
  return model;
}

}  // namespace lathe
