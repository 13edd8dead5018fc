#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {

std::unique_ptr<Model> make_phi3(const ModelConfig& config, at::ScalarType dtype, at::Device device,
                                 const TensorParallel& tp) {
  DecoderTraits traits;
  traits.fused = true;
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

}  // namespace lathe
