#include "trainer/hf_folder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>

#include "trainer/hf_weights.h"

namespace lathe {
namespace {

bool is_floating(const std::string& dtype) {
  return dtype == "F32" || dtype == "BF16" || dtype == "F16" || dtype == "F64";
}

// What files may hold beyond the parameters: the copy of a tied head, and buffers that are
// computed.
bool is_tolerated(const std::string& name, const ModelConfig& config) {
  if (name == "lm_head.weight") return config.tie_word_embeddings;
  const bool mask = name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
  return name.ends_with(".rotary_emb.inv_freq") || (config.model_type == "gpt2" && mask);
}

// A parameter's name in the files: those of GPT-2 itself lack the prefix.
std::string name_in(const WeightFiles& files, const std::string& name) {
  constexpr std::string_view kPrefix = "transformer.";
  if (files.contains(name) || !name.starts_with(kPrefix)) return name;
  const std::string bare = name.substr(kPrefix.size());
  return files.contains(bare) ? bare : name;
}

void list(std::string& message, const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return;
  constexpr size_t kShown = 10;
  message += std::string("; ") + title + ": ";
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    message += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) message += " and " + std::to_string(names.size() - kShown) + " more";
}

std::string shape_text(at::IntArrayRef sizes) {
  std::string text = "[";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(sizes[i]);
  return text + "]";
}

// Every disagreement at once: a user who renames tensors one error at a time is a user lost.
void check_tensors(const WeightFiles& files, Model& model, const std::string& folder,
                   const std::vector<std::string>& optional) {
  const auto is_optional = [&](const std::string& name) {
    return std::find(optional.begin(), optional.end(), name) != optional.end();
  };
  std::vector<std::string> missing, extra, wrong;
  std::map<std::string, const Parameter*> parameters;
  for (const Parameter* parameter : model.parameters())
    parameters.emplace(name_in(files, parameter->name), parameter);
  for (const auto& [name, parameter] : parameters) {
    if (!files.contains(name)) {
      if (!is_optional(name)) missing.push_back(name);
      continue;
    }
    const TensorEntry& entry = files.entry(name);
    const std::vector<int64_t> shape = parameter->whole_shape();
    if (shape != entry.shape) {
      wrong.push_back(name + " is " + shape_text(entry.shape) + " but " + shape_text(shape) +
                      " is expected");
    } else if (!is_floating(entry.dtype)) {
      wrong.push_back(name + " is " + entry.dtype + " but F32, BF16 or F16 is expected");
    }
  }
  for (const std::string& name : files.names()) {
    if (parameters.count(name) == 0 && !is_tolerated(name, model.config()) && !is_optional(name))
      extra.push_back(name);
  }
  if (missing.empty() && extra.empty() && wrong.empty()) return;
  std::string message = folder + ": the weights do not fit config.json (model_type " +
                        model.config().model_type + ")";
  list(message, "missing", missing);
  list(message, "extra", extra);
  list(message, "wrong", wrong);
  throw std::invalid_argument(message);
}

// Before memory is asked for: a config.json that claims more than the files can hold.
void check_total(const WeightFiles& files, const ModelConfig& config, const std::string& folder) {
  int64_t elements = 0;
  for (const std::string& name : files.names()) {
    elements += static_cast<int64_t>(files.bytes(name).size()) * 8 /
                safetensors_dtype_bits(files.entry(name).dtype);
  }
  const int64_t least =
      config.vocab_size * config.hidden_size + config.num_hidden_layers * config.hidden_size;
  if (elements < least) {
    throw std::invalid_argument(folder + ": the weights hold " + std::to_string(elements) +
                                " numbers, but the sizes in config.json need at least " +
                                std::to_string(least));
  }
}

void fill_one(const WeightFiles& files, Parameter& parameter) {
  const at::NoGradGuard no_grad;
  parameter.value.copy_(part_of(files.tensor(name_in(files, parameter.name)), parameter.cut));
}

}  // namespace

UnfilledModel open_model(const std::string& folder, at::ScalarType dtype, at::Device device,
                         const TensorParallel& tp) {
  const ModelConfig config = read_model_config(folder);
  // Owned by the copies of `fill`.
  const auto files = std::make_shared<const WeightFiles>(folder);
  check_total(*files, config, folder);
  std::unique_ptr<Model> model = make_model(config, dtype, device, tp);
  check_tensors(*files, *model, folder, {});
  return {std::move(model), [files](Parameter& parameter) { fill_one(*files, parameter); }};
}

std::unique_ptr<Model> load_model(const std::string& folder, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp) {
  UnfilledModel opened = open_model(folder, dtype, device, tp);
  for (Parameter* parameter : opened.model->parameters()) opened.fill(*parameter);
  return std::move(opened.model);
}

void load_weights(Model& model, const std::string& folder,
                  const std::vector<std::string>& optional) {
  const WeightFiles files(folder);
  check_tensors(files, model, folder, optional);
  for (Parameter* parameter : model.parameters()) {
    if (files.contains(name_in(files, parameter->name))) fill_one(files, *parameter);
  }
}

}  // namespace lathe
