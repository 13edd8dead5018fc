#pragma once

#include <memory>

#include "parallel/mesh.h"
#include "trainer/optimizer.h"

// Updates every unit of the model as soon as the backward has its gradients, which are gone then:
// a step never holds more than a unit's. There is no clipping, as the norm is known too late, and a
// step is one micro-batch.
namespace lathe {

// Of optimizer.optimizer_in_bwd: the sharding passes its gradients on from now on (zero 2 or 3).
std::unique_ptr<Optimizer> make_backward_optimizer(const OptimizerConfig& config,
                                                   Sharding& sharding, Mesh& mesh);

}  // namespace lathe
