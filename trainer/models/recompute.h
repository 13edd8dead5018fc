#pragma once

#include <memory>

#include "trainer/models/blocks.h"

// Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): a block that keeps only what it
// was given, and does its forward again when backward comes to it.
namespace lathe {

// One block, at least kBlock. The same bits as the block itself, forward and backward. `shown`:
// where its queries and keys go, which are kept then; null: nowhere.
void run_again_in_backward(Block& block, Residual& residual,
                           const std::shared_ptr<const Documents>& documents, int64_t layer,
                           Checkpointing mode, Heads* shown = nullptr);

}  // namespace lathe
