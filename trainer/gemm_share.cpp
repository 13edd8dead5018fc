#include "trainer/gemm_share.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

#include "trainer/kernels/product.h"
#include "trainer/models/linear_layer.h"

namespace lathe {

double flops_per_token(Model& model) {
  double flops = 0;
  for (const LinearLayer* layer : model.linear_layers()) {
    const Parameter& weight = layer->weight;
    flops += (weight.trained ? 6.0 : 4.0) * static_cast<double>(weight.whole_numel());
  }
  const ModelConfig& config = model.config();
  return flops + 6.0 * static_cast<double>(config.hidden_size * config.vocab_size);
}

double measure_gemm_flops(at::ScalarType dtype, at::Device device) {
  constexpr int64_t kSize = 1024;
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const at::Tensor a = at::ones({kSize, kSize}, options), b = at::ones({kSize, kSize}, options);
  double seconds = 1e9;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    product(a, b)[0][0].item();  // which waits for a GPU
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    seconds = std::min(seconds, taken.count());
  }
  return 2.0 * kSize * kSize * kSize / seconds;
}

}  // namespace lathe
