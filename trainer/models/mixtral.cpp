#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {

std::unique_ptr<Model> make_mixtral(const ModelConfig& config, at::ScalarType dtype,
                                    at::Device device, const TensorParallel& tp) {
  DecoderTraits traits;
  traits.experts = {"block_sparse_moe.", "w1", "w3", "w2"};
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

}  // namespace lathe
