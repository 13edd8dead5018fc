#pragma once

#include <bit>
#include <cmath>

#include "trainer/kernels/adamw.h"

// The loop itself. It is compiled once per instruction set, by files whose flags let the compiler
// vectorise it (no errno from sqrt) and forbid it to fuse a product with a sum. Unnamed namespace:
// each file must keep its own code.
namespace lathe {
namespace {

// Round to nearest even, NaN to the quiet NaN, as c10::BFloat16.
inline uint16_t to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

template <bool kWritesBf16>
void adamw_loop(const AdamWSlice& slice, const AdamWScalars& s) {
  float* __restrict master = slice.master;
  float* __restrict exp_avg = slice.exp_avg;
  float* __restrict exp_avg_sq = slice.exp_avg_sq;
  float* __restrict grad = slice.grad;
  uint16_t* __restrict value = slice.value_bf16;
  const float keep = slice.keep;
  for (int64_t i = 0; i < slice.n; ++i) {
    const float g = grad[i] * s.grad_scale;
    grad[i] = 0;
    const float m = exp_avg[i] + s.one_minus_beta1 * (g - exp_avg[i]);
    const float v = exp_avg_sq[i] * s.beta2 + s.one_minus_beta2 * (g * g);
    const float denominator = std::sqrt(v) / s.root_bias2 + s.epsilon;
    const float p = master[i] * keep - s.step_size * (m / denominator);
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    master[i] = p;
    if constexpr (kWritesBf16) value[i] = to_bf16(p);
  }
}

inline void adamw_slice(const AdamWSlice& slice, const AdamWScalars& scalars) {
  slice.value_bf16 ? adamw_loop<true>(slice, scalars) : adamw_loop<false>(slice, scalars);
}

}  // namespace
}  // namespace lathe
