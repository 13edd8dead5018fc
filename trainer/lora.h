#pragma once

#include <functional>
#include <memory>

#include "trainer/lora_config.h"
#include "trainer/model.h"

// Low-rank adapters on a model: LoRA, rsLoRA, DoRA, PiSSA, with modules and embedding rows trained
// beside them. Adapters are float32 whatever the model's type, and belong to the model's layers;
// the model's own weights are frozen. Folders are PEFT's: adapter_config.json and
// adapter_model.safetensors with names base_model.model.<module>.lora_A.weight.
namespace lathe {

class Lora {
 public:
  // New adapters. Random numbers depend on the seed and the module's name only.
  // std::invalid_argument for a target that no module has.
  Lora(Model& model, LoraConfig config, uint64_t seed);
  // From a PEFT folder. Every tensor must find its place and every target its tensors;
  // std::invalid_argument lists those that do not. Frozen, unless training goes on.
  static Lora read(Model& model, const std::string& folder, bool trained = false);
  Lora(Lora&&) = default;

  // The model's and the adapters', for a Sharding; only what is trained has `trained` set.
  std::vector<Parameter*> parameters();
  int64_t num_trained();

  // Writes a PEFT folder for `base` (a name or folder), re-opens it and compares. PiSSA is written
  // as an adapter of the untouched base, of twice the rank. `value`: where to take a parameter's
  // values from, by name; its own where that gives none.
  using Values = std::function<at::Tensor(const std::string& name)>;
  void write(const std::string& folder, const std::string& base, const Values& value = {});

  // Puts the adapters into the weights and takes them off the layers.
  void merge();
  // false: the model gives what it gave before training, as the reference of a preference
  // objective; true: back again.
  void set_enabled(bool enabled);

 private:
  struct Layer {
    LinearLayer* layer;
    int64_t rank;
    double alpha;
    at::Tensor a, b;  // as they began, where that was not nothing (PiSSA)
  };
  struct Saved {
    Parameter* parameter;
    at::Tensor original;  // the values that the model began with
    std::vector<std::string> file_names;
  };

  Lora(Model& model, LoraConfig config);
  void attach(LinearLayer& layer, bool trained);
  void initialize(Layer& layer, uint64_t seed);
  void save_modules();
  void train_tokens();
  void swap_saved();

  Model* model_;
  LoraConfig config_;
  std::vector<Layer> layers_;
  std::vector<Saved> saved_;
  std::vector<int64_t> token_ids_;
  std::unique_ptr<Parameter> token_rows_;  // the embedding points to it: keep this while training
  bool enabled_ = true;
};

// A model folder, with the adapter of a PEFT folder on it; "": without.
std::unique_ptr<Model> load_adapted_model(const std::string& folder, const std::string& adapter,
                                          at::ScalarType dtype, at::Device device);

// adapter_config.json <-> config, and the base model's name in it.
struct PeftConfig {
  LoraConfig lora;
  std::string base_model_name_or_path = {};
  std::vector<std::string> exclude_modules = {};
  std::vector<int64_t> layers_to_transform = {};
};
PeftConfig read_peft_config(const std::string& folder);
std::string dump_peft_config(const PeftConfig& config, bool fan_in_fan_out);
bool is_peft_folder(const std::string& folder);

}  // namespace lathe
