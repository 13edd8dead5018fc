#include "trainer/plan/memory.h"

#include <algorithm>

#include "trainer/kernels/head.h"

namespace lathe {
namespace {

// An allocator's heap over what lives in it: holes that nothing fits into. Measured over layouts such as
// tests/launch/plan_test.cpp's, where what one moment of a step needs found no place where another moment's had been.
constexpr double kHoles = 1.2;

// Bytes of optimiser state for a trained number.
double state_bytes(const OptimizerConfig& c, bool has_master) {
  double bytes = has_master && !c.stochastic_rounding ? 4 : 0;
  if (c.optim == "adamw") bytes += c.optim_state_dtype == "bf16" ? 4 : 8;
  if (c.optim == "adamw_8bit") bytes += 2 + 8.0 / 256;  // codes, and the scales of blocks of 256
  if (c.optim == "lion" || c.optim == "muon" || (c.optim == "sgd" && c.sgd_momentum > 0)) bytes += 4;
  if (c.ema_decay > 0) bytes += 4;
  return bytes;
}

// Numbers that a token leaves in one layer for backward. `between`: the share of the tokens that a rank has between the
// cut layers.
struct LayerNumbers {
  double until_attention, attention, after_attention;
  double all() const { return until_attention + attention + after_attention; }
};

LayerNumbers layer_numbers(const ModelShapes& s, double between) {
  const auto H = static_cast<double>(s.hidden), Q = static_cast<double>(s.queries), K = static_cast<double>(s.keys),
             I = static_cast<double>(s.inner);
  LayerNumbers n{};
  n.until_attention = H * between + H;  // the sum, and its norm, which the products keep
  if (s.qk_norm) n.until_attention += Q + K;
  n.attention = Q + K + (s.fused_qkv ? Q + 2 * K : K) + Q;
  n.after_attention = H * between + H + (s.norms_after ? 2 * H * between : 0);
  if (s.experts_per_token > 0) {
    n.after_attention += static_cast<double>(s.experts_per_token) * (3 * H + 3 * I);
  } else {
    n.after_attention += (s.gated ? 3 : 2) * I;
  }
  return n;
}

// What a layer keeps under a mode, and what its backward has besides while it runs.
struct LayerBytes {
  double kept, passing;
};

LayerBytes layer_bytes(const ModelShapes& s, const Layout& layout, double tokens, double width, bool wide_attention) {
  const double between = layout.sequence_parallel ? 1.0 / static_cast<double>(layout.tp) : 1;
  LayerNumbers n = layer_numbers(s, between);
  if (wide_attention) n.attention = static_cast<double>(2 * s.queries + 2 * s.keys) * 4 / width;
  const auto H = static_cast<double>(s.hidden);
  const double I = static_cast<double>(s.inner * std::max<int64_t>(1, s.experts_per_token));
  const double gradients = (s.gated ? 3 : 2) * I + 4 * H * between;
  const double lse = 4 * static_cast<double>(s.heads) / width;  // float32
  const double inputs = 2 * H * between;
  switch (layout.checkpointing) {
    case Checkpointing::kOff: return {tokens * width * (n.all() + lse), tokens * width * gradients};
    case Checkpointing::kBlock: return {tokens * width * inputs, tokens * width * (n.all() + lse + gradients)};
    case Checkpointing::kSelective:
      return {tokens * width * (inputs + H * between + n.attention + lse),
              tokens * width * (n.after_attention + gradients)};
  }
  return {};
}

}  // namespace

MemoryEstimate estimate_memory(const PlannedRun& run, const ModelShapes& s, const Layout& layout, double program) {
  const auto width = static_cast<double>(c10::elementSize(run.dtype)), dp = static_cast<double>(layout.dp);
  const auto weights = static_cast<double>(s.weights), trained = static_cast<double>(s.trained);
  const double tokens = static_cast<double>(layout.micro_rows * run.row_tokens), targets = tokens * run.trained_share;
  const bool adapters = !run.lora.empty(), narrow = width < 4;
  const bool passing = run.optimizer.optimizer_in_bwd;  // gradients, and then by units in any case
  const int zero = passing ? std::max(2, layout.zero) : layout.zero;
  const auto largest_unit = static_cast<double>(std::max({s.first.trained, s.block.trained, s.last.trained}));
  MemoryEstimate m{.program = program};
  // Adapters are float32 whatever the model is.
  m.weights = (adapters ? (weights - trained) * width + trained * 4 : weights * width) / (zero == 3 ? dp : 1);
  m.gradients = 4 * (passing ? largest_unit : trained) / (zero >= 2 ? dp : 1);
  m.optimizer = trained * state_bytes(run.optimizer, narrow && !adapters) / (zero >= 1 ? dp : 1);
  const LayerBytes layer = layer_bytes(s, layout, tokens, width, run.on_cpu && narrow);
  const auto H = static_cast<double>(s.hidden), V = static_cast<double>(s.vocabulary);
  const HeadOptions head;
  const double chunk = std::min(static_cast<double>(head.chunk_rows), targets) * V * width;
  // Gradients are written over kept logits; those that are not kept are made again.
  const double all = targets * V * width, keep = static_cast<double>(head.keep_bytes);
  const double logits = all <= keep ? all + chunk : keep + 2 * chunk;
  const double ends = 2 * tokens * H * width;  // the embedding's output, the last norm's
  const double kept = static_cast<double>(s.layers) * layer.kept + ends;
  // 16-bit products on a CPU: both operands in the library's own order.
  const double reordered = narrow && run.on_cpu ? 2 * width * static_cast<double>(s.widest_matrix) : 0;
  const auto whole = [&](const ModelShapes::Unit& unit) {
    return (zero >= 2 ? 4 * static_cast<double>(unit.trained) : 0) +
           (zero == 3 ? width * static_cast<double>(unit.weights) : 0);
  };
  const double head_unit = whole(s.tied ? s.first : s.last);
  // Beside a block's backward: the values that come next, and the gradients of the unit before it.
  const bool beside = run.overlap && layout.dp > 1 && zero >= 2;
  const double next = beside && zero == 3 ? width * static_cast<double>(s.block.weights) : 0;
  const auto before = static_cast<double>(s.tied ? s.block.trained : std::max(s.block.trained, s.last.trained));
  const double summed = beside && !passing ? 4 * before : 0;
  struct Moment {
    double buffers, passing, logits;
    double all() const { return buffers + passing + logits; }
  };
  const Moment at_head{head_unit + next, 2 * targets * H * width + reordered, logits};
  const Moment in_block{whole(s.block) + (s.tied ? head_unit : 0) + next + summed, layer.passing, 0};
  const Moment& highest = at_head.all() > in_block.all() ? at_head : in_block;
  const Moment& other = at_head.all() > in_block.all() ? in_block : at_head;
  m.buffers = highest.buffers;
  m.activations = kHoles * (kept + highest.passing) + other.passing + other.logits;
  m.logits = kHoles * highest.logits;
  return m;
}

}  // namespace lathe
