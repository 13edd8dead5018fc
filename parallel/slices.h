#pragma once

#include <vector>

#include "parallel/sharding.h"

// What the kinds of Sharding share.
namespace lathe {

// The slices of the elements [begin, end) of a bucket, whose values and gradients lie in `values`
// and `grads`, the element `begin` first.
void add_slices(const Bucket& bucket, int64_t begin, int64_t end, const at::Tensor& values,
                const at::Tensor& grads, std::vector<Slice>& slices);

// Adds up the gradients of which the ranks of tp hold summands.
void sum_partial_gradients(const std::vector<Parameter*>& parameters, Group& tp);

// zero 2 and 3.
std::unique_ptr<Sharding> make_unit_sharding(int zero, const std::vector<Parameter*>& parameters,
                                             Mesh& mesh, int64_t align,
                                             const std::vector<int>& units,
                                             const FillParameter& fill);

}  // namespace lathe
