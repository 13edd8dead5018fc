#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "parallel/parameter.h"

// Many tensors as a few flat ones: the trained parameters of one compute type, in their order, as
// one buffer of values and one of float32 gradients. One collective then serves them all.
namespace lathe {

struct Bucket {
  at::Tensor values,
      grads;  // [n], n a multiple of parts x align; zero between and after the parameters
  std::vector<Parameter*> parameters;
  std::vector<int64_t> offsets;  // of each parameter's first element, a multiple of align
};

// 64 bytes of the smallest type, for vector loads and so that no two ranks write to one cache line.
constexpr int64_t kBucketAlign = 32;

// Gives a parameter its values; false: it has them.
using FillParameter = std::function<bool(Parameter&)>;

// `fill`: what has no values yet gets them in its new place, and memory only there. `align`: a
// multiple of kBucketAlign. Moves the values of the trained parameters (handles to them stay good,
// views of them do not) and makes their gradients, zeroed. Frozen parameters are left alone. Throws
// std::invalid_argument for a parameter that is undefined, on another device, no floating type, or
// there twice.
std::vector<Bucket> make_buckets(const std::vector<Parameter*>& parameters, int parts,
                                 at::Device device, int64_t align = kBucketAlign,
                                 const FillParameter& fill = {});
// The same of the frozen ones, which have values only.
std::vector<Bucket> make_frozen_buckets(const std::vector<Parameter*>& parameters, int parts,
                                        at::Device device, int64_t align = kBucketAlign,
                                        const FillParameter& fill = {});

}  // namespace lathe
