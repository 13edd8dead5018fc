#pragma once

#include "parallel/sharding.h"

// The global gradient norm and what clipping makes of it.
namespace lathe {

// The L2 norm of all gradients of all ranks together, once reduce_gradients has run; the same bits
// on every rank. Sums in float64, over blocks of fixed size in a fixed order: the number of threads
// does not change a bit.
double gradient_norm(Sharding& sharding, Mesh& mesh);

// Hugging Face's factor: min(1, max_norm / (norm + 1e-6)); 1 when max_norm is 0 (no clipping).
double clip_factor(double norm, double max_norm);

}  // namespace lathe
