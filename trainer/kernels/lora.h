#pragma once

#include "parallel/layers.h"
#include "trainer/kernels/linear.h"

// What a low-rank adapter adds to a linear layer (Hu et al. 2021, arXiv:2106.09685), and DoRA's
// form of it (Liu et al. 2024, arXiv:2402.09353). A and B may be float32 beside bfloat16 weights:
// products are made in x's type, gradients summed in float32. Parameters must outlive the graph.
//
// Shape letters: T tokens, I inputs, O outputs, R rank.
namespace lathe {

struct LoraWeights {
  Parameter* a;                    // [R, I]
  Parameter* b;                    // [O, R]
  Parameter* magnitude = nullptr;  // [O]: DoRA
  double scale = 1;
  double dropout = 0;   // of the adapter's input, where tokens have keys
  uint64_t stream = 0;  // of the dropout
  // Of a layer that is cut along its inputs: where these begin, and the ranks that have the others.
  int64_t first_input = 0;
  TensorParallel inputs = {};
};

// y_TO, the layer's own output with its bias, -> y + scale B A drop(x); with a magnitude m
// m / ||W + scale B A|| (W x + scale B A drop(x)) + bias, the norm taken over the inputs of each
// output and constant in backward. y may be overwritten. keys_T (trainer/kernels/noise.h)
// undefined: nothing is dropped.
at::Tensor add_lora(const at::Tensor& x_TI, const at::Tensor& y_TO, const LinearWeights& base,
                    const LoraWeights& lora, const at::Tensor& keys_T);

// scale B A in float32, shaped as the layer's weight.
at::Tensor lora_delta(const LinearWeights& base, const LoraWeights& lora);
// The weight with the adapter in it, float32, shaped as the layer's weight.
at::Tensor merged_weight(const LinearWeights& base, const LoraWeights& lora);
// [O] float32: ||W + scale B A|| over the inputs.
at::Tensor adapted_norm(const LinearWeights& base, const LoraWeights& lora);

}  // namespace lathe
