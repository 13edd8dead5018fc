#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <vector>

#include "trainer/model_config.h"

// The angles of rotary position embeddings for every position, with the scalings that stretch a
// model's context: linear, dynamic (by the base), llama3 (Dubey et al. 2024), yarn (Peng et al.
// 2023, arXiv:2309.00071) and longrope (Ding et al. 2024, arXiv:2402.13753), as transformers
// computes them, in float32. R: elements of a head that are turned, all of them unless
// partial_rotary_factor says otherwise.
namespace lathe {

struct RotaryAngles {
  at::Tensor cos, sin;  // [T, R / 2] float32
};

struct RotaryFrequencies {
  std::vector<float> inverse;  // radians per position, [R / 2]
  double factor = 1;           // multiplies cos and sin (yarn, longrope)
};

// Of a sequence of `length` tokens, which matters to dynamic and longrope: beyond the length that
// the model was first made for, they turn all of its tokens otherwise. std::invalid_argument for a
// scaling that is not supported, by name.
RotaryFrequencies rotary_frequencies(const ModelConfig& config, int64_t length = 0);
// Sequences of which this is equal have the same frequencies; 0 for all of them where the length
// does not matter.
int64_t rotary_regime(const ModelConfig& config, int64_t length);
// What layers with a sliding window follow, where those have a base of their own (Gemma 3): never
// scaled.
ModelConfig local_rotary_config(const ModelConfig& config);

// Angles of given frequencies.
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

// Angles of the documents of a flat row, each by the frequencies of its length. A result does not
// depend on what else is in the row.
class DocumentAngles {
 public:
  DocumentAngles(const ModelConfig& config, at::Device device);
  // positions_T int64; document d is tokens cu_seqlens[d] .. cu_seqlens[d+1] and has lengths[d]
  // tokens with what lies before the row.
  RotaryAngles at(const at::Tensor& positions_T, const std::vector<int64_t>& cu_seqlens,
                  const std::vector<int64_t>& lengths);

 private:
  RotaryTable& table(int64_t length);

  ModelConfig config_;
  at::Device device_;
  std::map<int64_t, RotaryTable> tables_;  // by regime
};

}  // namespace lathe
