#pragma once

#include <string>

#include "data/curate/likelihood.h"

namespace lathe {

// How likely a model finds texts, as lathe score says. Longer ones are cut into windows of
// max_length tokens (at most the model's own most), of which each is scored by itself. The weights
// are read when the first text comes. One thread, so that sums have one order: more come with ranks.
LikelihoodModel text_likelihood(const std::string& folder, const std::string& dtype,
                                int64_t max_length);

}  // namespace lathe
