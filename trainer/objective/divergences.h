#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>
#include <vector>

#include "trainer/objective/distill_config.h"

// How far the student's distribution q is from the teacher's p, row by row, each by its formula. C
// rows, V outcomes.
namespace lathe {

struct Divergence {
  at::Tensor value_C;
  at::Tensor slope_CV;  // d value / d log q, every log q taken as free
};

struct DivergenceEntry {
  std::string_view name;
  Divergence (*of)(const at::Tensor& log_p_CV, const at::Tensor& log_q_CV, const DistillConfig&);
};

const std::vector<DivergenceEntry>& divergences();
// std::invalid_argument for a name that is not there.
const DivergenceEntry& divergence(std::string_view name);

}  // namespace lathe
