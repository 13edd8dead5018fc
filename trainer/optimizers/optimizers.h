#pragma once

#include "trainer/optimizer.h"

// The kinds of optimisers, one function each; the table of them is in trainer/optimizer.cpp.
namespace lathe {

// AdamW (arXiv:1711.05101), in one fused pass over memory; with moments in bfloat16 or without
// masters, make_packed_adamw's.
std::unique_ptr<Optimizer> make_adamw(const OptimizerConfig& config, Sharding& sharding);
// AdamW whose moments are kept in 8 bits (arXiv:2110.02861) or bfloat16.
std::unique_ptr<Optimizer> make_packed_adamw(const OptimizerConfig& config, Sharding& sharding);
// Gradient descent with momentum, as torch.optim.SGD: the decay is added to the gradient.
std::unique_ptr<Optimizer> make_sgd(const OptimizerConfig& config, Sharding& sharding);
// Lion (arXiv:2302.06675).
std::unique_ptr<Optimizer> make_lion(const OptimizerConfig& config, Sharding& sharding);
// Adafactor (arXiv:1804.04235) with the learning rate given, as Hugging Face's trainer uses it.
std::unique_ptr<Optimizer> make_adafactor(const OptimizerConfig& config, Sharding& sharding);
// Muon (Jordan et al. 2024) for the matrices of blocks, at AdamW's size of updates
// (arXiv:2502.16982); AdamW for the rest.
std::unique_ptr<Optimizer> make_muon(const OptimizerConfig& config, Sharding& sharding);

}  // namespace lathe
