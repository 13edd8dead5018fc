#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {

// All that differs from Llama, the window, is in the config.
std::unique_ptr<Model> make_mistral(const ModelConfig& config, at::ScalarType dtype,
                                    at::Device device, const TensorParallel& tp) {
  return std::make_unique<Transformer>(config, decoder_parts(config, {}, dtype, device, tp));
}

}  // namespace lathe
