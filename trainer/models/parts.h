#pragma once

#include "trainer/models/blocks.h"

// What a family builds a Transformer from, and the making of it in the layout that most families
// share: Llama's names and order.
namespace lathe {

struct TransformerParts {
  Parameter embedding;  // [V, H]
  double embedding_scale = 1;
  std::optional<Parameter> positions = {};  // [positions, H]: learned ones, added to the embedding
  std::vector<Block> blocks = {};
  NormLayer norm;
  std::optional<Parameter> head = {};  // [V, H]; absent when tied
  double logit_softcap = 0;            // 0: none
  // What the angles follow; absent: no positions are turned, or not by a base of their own.
  std::optional<ModelConfig> rotary = {}, local_rotary = {};
  TensorParallel tp = {};
};

// std::invalid_argument for sizes that cannot be, and for those that the ranks of tp cannot share.
void check_sizes(const ModelConfig& config, const TensorParallel& tp);

// Tensors of the model's type and device, undefined-valued, and this rank's parts of them. Sizes
// are those of the whole.
struct PartMaker {
  at::TensorOptions options;
  TensorParallel tp = {};

  using Runs = std::vector<CutRun>;
  // The same at every rank.
  Parameter parameter(const std::string& name, std::vector<int64_t> shape) const;
  // The runs of one dim.
  Parameter part(const std::string& name, std::vector<int64_t> shape, int64_t dim,
                 const Runs& runs) const;
  // Rows of the vocabulary.
  Parameter table(const std::string& name, int64_t vocabulary, int64_t width) const;
  // The runs of its outputs, or of its inputs.
  LinearLayer by_outputs(const std::string& name, int64_t out, int64_t in, bool bias,
                         const Runs& runs, bool transposed = false) const;
  LinearLayer by_inputs(const std::string& name, int64_t out, int64_t in, bool bias,
                        const Runs& runs, bool transposed = false) const;
  // Of the residual stream.
  NormLayer norm(const std::string& name, int64_t width, const RmsNorm& options) const;
  // Query heads, key or value heads, and inner units of an MLP, as a matrix has them from `begin`.
  CutRun heads(int64_t count, int64_t head_dim, int64_t begin = 0) const;
};

// How a family names the parts of a mixture of experts.
struct ExpertNames {
  const char *block, *gate, *up, *down;
};

// Where a family differs from Llama. What config.json says of single layers is in the config.
struct DecoderTraits {
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool fused = false;  // qkv_proj and gate_up_proj
  enum class QkNorm { kNone, kHead, kWhole } qk_norm = QkNorm::kNone;
  enum class Norms { kBefore, kAfter, kBoth } norms = Norms::kBefore;
  double norm_offset = 0;
  Activation activation = Activation::kSilu;
  double attention_scale = 0;  // 0: 1 / sqrt(head_dim)
  double embedding_scale = 1;
  ExpertNames experts = {};
};

// std::invalid_argument for sizes that cannot be.
TransformerParts decoder_parts(const ModelConfig& config, const DecoderTraits& traits,
                               at::ScalarType dtype, at::Device device, const TensorParallel& tp);

}  // namespace lathe
