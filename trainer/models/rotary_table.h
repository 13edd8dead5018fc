#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "trainer/model_config.h"

// The angles of rotary position embeddings for every position, with the scalings that stretch a
// model's context: linear, llama3 (Dubey et al. 2024) and yarn (Peng et al. 2023,
// arXiv:2309.00071), as transformers computes them, in float32. R: elements of a head that are
// turned, all of them unless partial_rotary_factor says otherwise.
namespace lathe {

struct RotaryAngles {
  at::Tensor cos, sin;  // [T, R / 2] float32
};

struct RotaryFrequencies {
  std::vector<float> inverse;  // radians per position, [R / 2]
  double factor = 1;           // multiplies cos and sin (yarn)
};

// std::invalid_argument for a scaling that is not supported, by name.
RotaryFrequencies rotary_frequencies(const ModelConfig& config);
// Of layers with a sliding window, where those have a base of their own (Gemma 3): never scaled.
RotaryFrequencies local_rotary_frequencies(const ModelConfig& config);

class RotaryTable {
 public:
  RotaryTable(RotaryFrequencies frequencies, at::Device device);
  // positions_T int64, all below `limit`. The table grows to `limit` when it is shorter.
  RotaryAngles at(const at::Tensor& positions_T, int64_t limit);

 private:
  void grow(int64_t length);

  RotaryFrequencies frequencies_;
  at::Device device_;
  at::Tensor cos_, sin_;  // [positions so far, R / 2]
};

}  // namespace lathe
