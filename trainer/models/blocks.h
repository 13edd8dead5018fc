#pragma once

#include <optional>
#include <span>

#include "trainer/kernels/attention.h"
#include "trainer/kernels/cached_attention.h"
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
  std::vector<int64_t> cu_seqlens, shared;  // as in Batch
  RotaryAngles angles, local_angles;
  std::span<KvCache* const> caches;  // one per document, or empty
  at::Tensor keys_T;                 // of a training step's tokens (trainer/kernels/noise.h)
};

struct Heads {
  at::Tensor q_TQD, k_TKD, v_TKD;
};

struct SelfAttention {
  int64_t head_dim = 0, num_kv_heads = 0;  // at this rank
  Scoring scoring;
  Rotation rotation = Rotation::kGlobal;
  std::vector<LinearLayer> qkv;  // q, k and v apart, or one that gives all three
  LinearLayer o;
  // Over each head when they are [D], over the whole projection when they are longer.
  std::optional<NormLayer> q_norm, k_norm;
  TensorParallel tp;

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
  void list(std::vector<Parameter*>& into);
  void list_linears(std::vector<LinearLayer*>& into);
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

// What a router decided for each token of a micro-batch.
struct Routing {
  at::Tensor probabilities_TE;  // float32, of all experts; differentiable
  at::Tensor chosen_TA;         // int64
};

// A mixture of experts (arXiv:1701.06538, 2401.04088): a router picks `per_token` of them for each
// token and weighs what they say. Tokens are sorted by expert, so that each expert that was picked
// does one product over its own tokens, without padding. Router and weights in float32.
//
// Shape letters: E experts, A of them that serve a token.
struct Experts {
  int64_t per_token = 0;
  bool renormalise = true;  // the weights of the chosen sum to 1
  Parameter router;         // [E, H]
  std::vector<Mlp> experts;

  // Appends to `routings` unless it is null.
  at::Tensor operator()(const at::Tensor& x_TH, const at::Tensor& keys_T,
                        std::vector<Routing>* routings);
  void list(std::vector<Parameter*>& into);
};

// E * sum over experts of (share of choices) * (mean probability), over all layers' tokens as one:
// about A when the load is even (Fedus et al. 2021, arXiv:2101.03961, as transformers has it).
// Undefined when there is no token.
at::Tensor balance_loss(const std::vector<Routing>& routings);

// x + after(attention(before(x))), then the same with the MLP. A norm that is not there does
// nothing.
struct Block {
  std::optional<NormLayer> before_attention, after_attention, before_mlp, after_mlp;
  SelfAttention attention;
  Mlp mlp;
  std::optional<Experts> experts;  // in the place of the MLP
  TensorParallel tp;

  // The three parts of the block's forward, cut where checkpointing cuts.
  Heads begin(Residual& residual, const Documents& documents);
  at::Tensor attend(const Heads& heads, const Documents& documents, int64_t layer);
  void finish(Residual& residual, const at::Tensor& attended, const Documents& documents,
              std::vector<Routing>* routings = nullptr);

  void list(std::vector<Parameter*>& into);
  void list_linears(std::vector<LinearLayer*>& into);
};

}  // namespace lathe
