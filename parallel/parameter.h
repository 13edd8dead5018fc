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
  // Of a frozen table some rows may be trained all the same: *rows [n, width] holds them and their
  // gradient, row_ids [n] int64 says which they are.
  Parameter* rows = nullptr;
  at::Tensor row_ids = {};
};

}  // namespace lathe
