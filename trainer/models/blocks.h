#pragma once

#include <optional>
#include <span>

#include "trainer/kernels/attention.h"
#include "trainer/model.h"
#include "trainer/models/linear_layer.h"
#include "trainer/models/norm_layer.h"
#include "trainer/models/rotary_table.h"

// The parts of one transformer layer, shared by all families. Shape letters: trainer/model.h.
namespace lathe {

// By which of the model's tables a layer turns its queries and keys.
enum class Rotation { kGlobal, kLocal, kNone };

// What attention needs to know of the micro-batch besides the tokens.
struct Documents {
  const std::vector<int64_t>& cu_seqlens;
  RotaryAngles angles, local_angles;
  std::span<KvCache* const> caches;  // one per document, or empty
};

struct SelfAttention {
  int64_t head_dim = 0, num_kv_heads = 0;
  Scoring scoring;
  Rotation rotation = Rotation::kGlobal;
  std::vector<LinearLayer> qkv;  // q, k and v apart, or one that gives all three
  LinearLayer o;
  // Over each head when they are [D], over the whole projection when they are longer.
  std::optional<NormLayer> q_norm, k_norm;

  at::Tensor operator()(const at::Tensor& x_TH, const Documents& documents, int64_t layer);
};

enum class Activation { kSilu, kGeluTanh };

// down(act(gate(x)) * up(x)), or down(act(up(x))) without a gate.
struct Mlp {
  Activation activation = Activation::kSilu;
  bool gated = true;
  std::vector<LinearLayer> up;  // gate and up apart, or one that gives both, gate first
  LinearLayer down;

  at::Tensor operator()(const at::Tensor& x_TH);
};

// x + after(attention(before(x))), then the same with the MLP. A norm that is not there does
// nothing.
struct Block {
  std::optional<NormLayer> before_attention, after_attention, before_mlp, after_mlp;
  SelfAttention attention;
  Mlp mlp;

  void list(std::vector<Parameter*>& into);
};

}  // namespace lathe
