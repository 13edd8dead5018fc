#pragma once

#include <cstdint>
#include <span>

// AdamW in one pass over memory: scale the gradient, decay, moments, update, write the compute
// type, zero the gradient.
//
// The formula and the order of operations are torch.optim.AdamW's (Loshchilov & Hutter, arXiv
// 1711.05101):
//   p *= 1 - lr wd;  m += (1 - b1)(g - m);  v = b2 v + (1 - b2) g g;
//   p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
// All versions do the same IEEE operations in float32, none of them fused, so they agree in every
// bit.
namespace lathe {

// One run of n elements. value_bf16 is null where the master is itself the value.
struct AdamWSlice {
  float* master;
  float* exp_avg;
  float* exp_avg_sq;
  float* grad;
  uint16_t* value_bf16;
  int64_t n;
  float keep;  // 1 - learning_rate * weight_decay of this tensor
};

// What is the same for all slices of an update.
struct AdamWScalars {
  float grad_scale;  // the clip factor
  float one_minus_beta1;
  float beta2, one_minus_beta2;
  float step_size;   // learning rate / (1 - beta1^t)
  float root_bias2;  // sqrt(1 - beta2^t)
  float epsilon;
};

// update counts from 1.
AdamWScalars adamw_scalars(double learning_rate, double beta1, double beta2, double epsilon,
                           double grad_scale, int64_t update);

// All slices, on as many threads as ATen has here; each element is worked out alone, so threads do
// not change a bit.
void adamw(std::span<const AdamWSlice> slices, const AdamWScalars& scalars);

// The loop for one slice, for each instruction set. adamw() takes the widest that this processor
// has.
void adamw_plain(const AdamWSlice& slice, const AdamWScalars& scalars);
void adamw_avx2(const AdamWSlice& slice, const AdamWScalars& scalars);
void adamw_avx512(const AdamWSlice& slice, const AdamWScalars& scalars);

}  // namespace lathe
