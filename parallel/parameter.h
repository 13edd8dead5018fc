#pragma once

#include <ATen/core/Tensor.h>

#include <string>

// A named weight and where its gradient is summed.
//
// value is a leaf that requires grad iff the parameter is trained. grad is float32 whatever value's type, of value's
// shape, owned by the Sharding: backward ADDS into it (over micro-batches too) and leaves value.grad() undefined. The
// kernels' own Functions do that (trainer/kernels/linear.h, norm.h, ...). An optimiser step ends with grad zeroed.
namespace lathe {

struct Parameter {
  std::string name;  // the Hugging Face name
  at::Tensor value;
  at::Tensor grad;  // undefined for a frozen parameter, and before a Sharding was made
  bool trained = true;
};

}  // namespace lathe
