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
  std::vector<int64_t> cu_seqlens;
  RotaryAngles angles, local_angles;
  std::span<KvCache* const> caches;  // one per document, or empty
  at::Tensor keys_T;                 // of a training step's tokens (trainer/kernels/noise.h)
};

struct Heads {
  at::Tensor q_TQD, k_TKD, v_TKD;
};

struct SelfAttention {
  int64_t head_dim = 0, num_kv_heads = 0;
  Scoring scoring;
  Rotation rotation = Rotation::kGlobal;
  std::vector<LinearLayer> qkv;  // q, k and v apart, or one that gives all three
  LinearLayer o;
  // Over each head when they are [D], over the whole projection when they are longer.
  std::optional<NormLayer> q_norm, k_norm;

  // Queries and keys turned by their positions.
  Heads heads(const at::Tensor& x_TH, const Documents& documents);
  // [T, Q D]: before the output matrix.
  at::Tensor attend(const Heads& heads, const Documents& documents, int64_t layer);
};

enum class Activation { kSilu, kGeluTanh };

// down(act(gate(x)) * up(x)), or down(act(up(x))) without a gate.
struct Mlp {
  Activation activation = Activation::kSilu;
  bool gated = true;
  std::vector<LinearLayer> up;  // gate and up apart, or one that gives both, gate first
  LinearLayer down;

  at::Tensor operator()(const at::Tensor& x_TH, const at::Tensor& keys_T);
};

// The residual stream x and what the last part wants added to it: they travel apart, so that each
// addition is one pass with the norm that follows it. delta may be undefined: nothing.
struct Residual {
  at::Tensor x_TH, delta_TH;

  // x += delta; returns the norm of x, or x itself without one.
  at::Tensor add_and_norm(NormLayer* norm);
  at::Tensor add_and_norm(std::optional<NormLayer>& norm) {
    return add_and_norm(norm ? &*norm : nullptr);
  }
};

// x + after(attention(before(x))), then the same with the MLP. A norm that is not there does
// nothing.
struct Block {
  std::optional<NormLayer> before_attention, after_attention, before_mlp, after_mlp;
  SelfAttention attention;
  Mlp mlp;

  // The three parts of the block's forward, cut where checkpointing cuts.
  Heads begin(Residual& residual, const Documents& documents);
  at::Tensor attend(const Heads& heads, const Documents& documents, int64_t layer);
  void finish(Residual& residual, const at::Tensor& attended, const Documents& documents);

  void list(std::vector<Parameter*>& into);
  void list_linears(std::vector<LinearLayer*>& into);
};

}  // namespace lathe
