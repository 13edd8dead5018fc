#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "parallel/sharding.h"

// What a model does around the use of a unit: it tells the Sharding, in the forward at once and in
// the backward when that comes by. Tensors pass through. Without a Sharding nothing is told.
namespace lathe {

// Before the unit's first operation: its forward begins; backward ends where these tensors' own
// gradients are known.
std::vector<at::Tensor> into_unit(Sharding* sharding, int unit, std::vector<at::Tensor> inputs);
// After its last: its forward ends; backward begins where gradients of these arrive, with the
// unit's values if it needs them.
std::vector<at::Tensor> out_of_unit(Sharding* sharding, int unit, std::vector<at::Tensor> outputs,
                                    bool values = true);

}  // namespace lathe
