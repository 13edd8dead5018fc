#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/model.h"

// How much of what matrix products can do here a training step gets done: 6 N floating-point
// operations a token (4 N where the weights are frozen) for N weights in products, against the
// speed of a large product measured on the spot. Tokens are those of the trained model's rows: the
// prompt that a pair shares counts once, passes through a reference do not count.
namespace lathe {

// Of a training step, forward and backward; attention is not counted, nor what checkpointing
// repeats.
double flops_per_token(Model& model);

// Floating-point operations a second of a 1024^3 product done as the model's are, the best of
// three.
double measure_gemm_flops(at::ScalarType dtype, at::Device device);

}  // namespace lathe
