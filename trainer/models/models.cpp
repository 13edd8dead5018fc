#include <array>

#include "trainer/model.h"
#include "trainer/models/families.h"

namespace lathe {
namespace {

struct Family {
  std::string_view model_type;
  std::unique_ptr<Model> (*make)(const ModelConfig&, at::ScalarType, at::Device,
                                 const TensorParallel&);
};

constexpr std::array kFamilies{
    Family{"llama", make_llama},        Family{"qwen2", make_qwen2},
    Family{"qwen3", make_qwen3},        Family{"mistral", make_mistral},
    Family{"phi3", make_phi3},          Family{"gemma2", make_gemma2},
    Family{"gemma3_text", make_gemma3}, Family{"olmo2", make_olmo2},
    Family{"smollm3", make_smollm3},    Family{"gpt2", make_gpt2},
    Family{"mixtral", make_mixtral},    Family{"qwen3_moe", make_qwen3_moe},
};

}  // namespace

std::unique_ptr<Model> make_model(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.model_type == config.model_type) return family.make(config, dtype, device, tp);
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw std::invalid_argument("config.json: model_type is \"" + config.model_type +
                              "\"; the families there are: " + known);
}

std::vector<std::string> model_families() {
  std::vector<std::string> names;
  for (const Family& family : kFamilies) names.emplace_back(family.model_type);
  return names;
}

}  // namespace lathe
