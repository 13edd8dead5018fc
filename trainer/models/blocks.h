#pragma once

#include <optional>
#include <span>

#include "trainer/model.h"
#include "trainer/models/linear_layer.h"
#include "trainer/models/rotary_table.h"

// The parts of one transformer layer, shared by all families. Shape letters: trainer/model.h.
namespace lathe {

// What attention needs to know of the micro-batch besides the tokens.
struct Documents {
  const std::vector<int64_t>& cu_seqlens;
  RotaryAngles angles;
  std::span<KvCache* const> caches;  // one per document, or empty
};

struct SelfAttention {
  int64_t head_dim = 0;
  double scale = 1;
  LinearLayer q, k, v, o;

  at::Tensor operator()(const at::Tensor& x_TH, const Documents& documents, int64_t layer);
};

// down(silu(gate(x)) * up(x))
struct GatedMlp {
  LinearLayer gate, up, down;

  at::Tensor operator()(const at::Tensor& x_TH);
};

// x + attention(norm(x)), then + mlp(norm(x)).
struct Block {
  Parameter attention_norm, mlp_norm;  // [H]
  SelfAttention attention;
  GatedMlp mlp;

  void list(std::vector<Parameter*>& into);
};

}  // namespace lathe
