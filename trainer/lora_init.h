#pragma once

#include <string>

#include "trainer/kernels/lora.h"

// How an adapter begins. "true": A uniform in +-1/sqrt(inputs) (PEFT's kaiming_uniform with a =
// sqrt 5), B zero. "gaussian": A N(0, 1/r), B zero. "pissa" (Meng et al. 2024, arXiv:2404.02948):
// scale B A is the best approximation of rank r of the weight, which keeps the rest;
// "pissa_niter_<n>" finds it by n rounds of subspace iteration. std::invalid_argument for another
// name.
namespace lathe {

void init_lora(const LoraWeights& lora, const LinearWeights& base, const std::string& how,
               uint64_t seed);

}  // namespace lathe
