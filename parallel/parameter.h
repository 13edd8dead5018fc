#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/accumulate.h>

#include <string>

#include "parallel/cut.h"

// A named weight and where its gradient is summed.
//
// value is a leaf that requires grad iff the parameter is trained. grad is float32 whatever value's
// type, of value's shape, owned by the Sharding: backward ADDS into it (over micro-batches too) and
// leaves value.grad() undefined. The kernels' own Functions do that (trainer/kernels/linear.h,
// norm.h, ...). An optimiser step ends with grad zeroed.
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
  // The part of the whole weight that value is, of those that the ranks of tp hold.
  Cut cut = {};
  // Backward leaves in grad a summand of each rank of tp that holds the part; the Sharding adds
  // them up.
  bool partial = false;

  std::vector<int64_t> whole_shape() const { return cut.whole_shape(value.sizes()); }
  int64_t whole_numel() const { return c10::multiply_integers(whole_shape()); }
};

}  // namespace lathe
