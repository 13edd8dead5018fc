#include "trainer/step_noise.h"

#include <ATen/ATen.h>

namespace lathe {
namespace {

// The finaliser of SplitMix64 (Steele et al. 2014): every bit of the input moves every bit.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

at::Tensor token_keys(const Batch& batch, const StepNoise& noise) {
  const at::Tensor tokens = batch.tokens.cpu().contiguous();
  const int64_t* token = tokens.const_data_ptr<int64_t>();
  at::Tensor keys = at::empty({tokens.numel()}, at::kLong);
  int64_t* key = keys.mutable_data_ptr<int64_t>();
  const uint64_t step = mix(noise.seed + mix(static_cast<uint64_t>(noise.step) + 1));
  int64_t first = 0;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const int64_t shared = batch.shared_of(d), begin = batch.cu_seqlens[d];
    if (shared == 0) first = begin;
    uint64_t document = step;
    for (int64_t t = first; t < first + shared; ++t)
      document = mix(document ^ static_cast<uint64_t>(token[t]));
    for (int64_t t = begin; t < batch.cu_seqlens[d + 1]; ++t)
      document = mix(document ^ static_cast<uint64_t>(token[t]));
    for (int64_t t = begin; t < batch.cu_seqlens[d + 1]; ++t) {
      const int64_t place = shared + t - begin;
      key[t] = static_cast<int64_t>(mix(document + static_cast<uint64_t>(place)));
    }
  }
  return keys.to(batch.tokens.device());
}

}  // namespace lathe
