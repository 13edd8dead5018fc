#pragma once

#include "parallel/sharding.h"

namespace lathe {

// The L2 norm of all gradients of all ranks together, equal on every rank; sums in float64 per slice, in a fixed order.
double gradient_norm(Sharding& sharding, Mesh& mesh);

// Hugging Face's factor: min(1, max_norm / (norm + 1e-6)); 1 when max_norm is 0 (no clipping).
double clip_factor(double norm, double max_norm);

}  // namespace lathe
