#include "trainer/kernels/adamw.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

namespace lathe {
namespace {

using SliceFunction = void (*)(const AdamWSlice&, const AdamWScalars&);

SliceFunction widest() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return adamw_avx512;
  }
  if (__builtin_cpu_supports("avx2")) return adamw_avx2;
#endif
  return adamw_plain;
}

AdamWSlice part(const AdamWSlice& slice, int64_t begin, int64_t end) {
  AdamWSlice result = slice;
  result.master += begin;
  result.exp_avg += begin;
  result.exp_avg_sq += begin;
  result.grad += begin;
  if (slice.value_bf16) result.value_bf16 += begin;
  result.n = end - begin;
  return result;
}

}  // namespace

AdamWScalars adamw_scalars(double learning_rate, double beta1, double beta2, double epsilon,
                           double grad_scale, int64_t update) {
  // Worked out in double and rounded once, as torch does with its Python scalars.
  const double bias1 = 1 - std::pow(beta1, static_cast<double>(update));
  const double bias2 = 1 - std::pow(beta2, static_cast<double>(update));
  return {.grad_scale = static_cast<float>(grad_scale),
          .one_minus_beta1 = static_cast<float>(1 - beta1),
          .beta2 = static_cast<float>(beta2),
          .one_minus_beta2 = static_cast<float>(1 - beta2),
          .step_size = static_cast<float>(learning_rate / bias1),
          .root_bias2 = static_cast<float>(std::sqrt(bias2)),
          .epsilon = static_cast<float>(epsilon)};
}

void adamw(std::span<const AdamWSlice> slices, const AdamWScalars& scalars) {
  const SliceFunction update = widest();
  int64_t total = 0;
  for (const AdamWSlice& slice : slices) total += slice.n;
  // The slices are one long row; a thread takes a stretch of it, which may begin and end within a
  // slice.
  constexpr int64_t kGrain = 1 << 15;
  at::parallel_for(0, total, kGrain, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const AdamWSlice& slice : slices) {
      const int64_t from = std::max(begin, first) - first;
      const int64_t to = std::min(end, first + slice.n) - first;
      if (from < to) update(part(slice, from, to), scalars);
      first += slice.n;
    }
  });
}

}  // namespace lathe
