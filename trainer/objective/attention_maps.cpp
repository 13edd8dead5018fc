#include "trainer/objective/attention_maps.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Numbers of one chunk's maps: 4 MB in float32.
constexpr int64_t kChunkNumbers = int64_t{1} << 20;

// Shape letters: C tokens of a chunk, P tokens that they may see, Q heads; others: trainer/model.h.
struct Chunk {
  int64_t begin = 0;  // of the document, in the batch
  at::Tensor rows_C;  // places in the document
  int64_t seen = 0;   // P
  at::Tensor weights_C;
};

std::vector<Chunk> chunks_of(const std::vector<int64_t>& cu_seqlens, const at::Tensor& weights_T,
                             int64_t num_heads) {
  std::vector<Chunk> chunks;
  const at::Tensor on_host_T = weights_T.cpu();
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    const int64_t begin = cu_seqlens[d], end = cu_seqlens[d + 1];
    const at::Tensor rows = (on_host_T.slice(0, begin, end) != 0).nonzero().squeeze(1);
    const int64_t size = std::max<int64_t>(1, kChunkNumbers / (num_heads * (end - begin)));
    for (const at::Tensor& part : rows.split(size)) {
      if (part.numel() == 0) continue;
      const at::Tensor rows_C = part.to(weights_T.device());
      chunks.push_back({.begin = begin,
                        .rows_C = rows_C,
                        .seen = part[-1].item<int64_t>() + 1,
                        .weights_C = weights_T.index_select(0, rows_C + begin)});
    }
  }
  return chunks;
}

// [C, P]: what a token does not see.
at::Tensor unseen(const Chunk& chunk, const Scoring& scoring) {
  const at::Tensor places_P = at::arange(chunk.seen, chunk.rows_C.options()),
                   rows_C1 = chunk.rows_C.unsqueeze(1);
  const at::Tensor after_CP = places_P > rows_C1;
  return scoring.window > 0 ? after_CP.logical_or(places_P <= rows_C1 - scoring.window) : after_CP;
}

// [Q, C, P] log-probabilities, 0 where unseen. q_CQD: the chunk's; k_PKD: what it may see.
at::Tensor log_maps(const at::Tensor& q_CQD, const at::Tensor& k_PKD, const at::Tensor& unseen_CP,
                    const Scoring& scoring) {
  const int64_t C = q_CQD.size(0), Q = q_CQD.size(1), D = q_CQD.size(2), K = k_PKD.size(1);
  const at::ScalarType wide = q_CQD.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  // Query heads that share a key head are rows of one product.
  const at::Tensor q = q_CQD.to(wide).transpose(0, 1).reshape({K, Q / K * C, D}),
                   k = k_PKD.to(wide).permute({1, 2, 0});
  at::Tensor scores = at::matmul(q, k).view({Q, C, -1}) * scoring.scale;
  if (scoring.softcap > 0) scores = scoring.softcap * (scores / scoring.softcap).tanh();
  return scores.masked_fill(unseen_CP, -INFINITY).log_softmax(-1).masked_fill(unseen_CP, 0);
}

// [heads, C]
at::Tensor distances(at::Tensor student_QCP, at::Tensor teacher_QCP, const at::Tensor& unseen_CP,
                     const MapDistance& distance) {
  const auto chances = [&](const at::Tensor& x) { return x.exp().masked_fill(unseen_CP, 0); };
  at::Tensor s = chances(student_QCP), t = chances(teacher_QCP);
  if (distance.mean_heads) {
    s = s.mean(0, true);
    t = t.mean(0, true);
    const auto logs = [&](const at::Tensor& x) {
      return x.clamp_min(1e-30).log().masked_fill(unseen_CP, 0);
    };
    student_QCP = logs(s);
    teacher_QCP = logs(t);
  }
  if (distance.kl) return (t * (teacher_QCP - student_QCP)).sum(-1);
  return (s - t).square().sum(-1) / unseen_CP.logical_not().sum(-1);
}

at::Tensor chunk_loss(const at::Tensor& q_CQD, const at::Tensor& k_PKD, const Scoring& scoring,
                      const LayerStates::Attention& teacher, const Chunk& chunk,
                      const MapDistance& distance) {
  const at::Tensor unseen_CP = unseen(chunk, scoring);
  const at::Tensor teacher_QCP =
      log_maps(teacher.q_TQD.index_select(0, chunk.rows_C + chunk.begin),
               teacher.k_TKD.narrow(0, chunk.begin, chunk.seen), unseen_CP, teacher.scoring);
  const at::Tensor losses_QC =
      distances(log_maps(q_CQD, k_PKD, unseen_CP, scoring), teacher_QCP, unseen_CP, distance);
  const double heads = distance.mean_heads ? 1 : static_cast<double>(distance.num_heads);
  return at::dot(losses_QC.sum(0).to(at::kDouble), chunk.weights_C.to(at::kDouble)) / heads;
}

// The gradients are made chunk by chunk in the forward, and kept: of the size of queries and keys.
struct MapLossFunction : torch::autograd::Function<MapLossFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                            const Scoring& scoring, const LayerStates::Attention& teacher,
                            const std::vector<Chunk>& chunks, const MapDistance& distance) {
    const bool wanted = q_TQD.requires_grad() || k_TKD.requires_grad();
    const at::ScalarType wide = q_TQD.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    at::Tensor dq, dk, sum = at::zeros({}, q_TQD.options().requires_grad(false).dtype(at::kDouble));
    if (wanted) {
      dq = at::zeros(q_TQD.sizes(), sum.options().dtype(wide));
      dk = at::zeros(k_TKD.sizes(), dq.options());
    }
    for (const Chunk& chunk : chunks) {
      const at::AutoGradMode with_graph(wanted);
      const at::Tensor rows_C = chunk.rows_C + chunk.begin;
      const at::Tensor
          q = q_TQD.detach().index_select(0, rows_C).to(wide).set_requires_grad(wanted),
          k = k_TKD.detach().narrow(0, chunk.begin, chunk.seen).to(wide).set_requires_grad(wanted);
      const at::Tensor loss = chunk_loss(q, k, scoring, teacher, chunk, distance);
      sum += loss.detach();
      if (!wanted) continue;
      const variable_list gradients = torch::autograd::grad({loss}, {q, k});
      dq.index_copy_(0, rows_C, gradients[0]);
      dk.narrow(0, chunk.begin, chunk.seen).add_(gradients[1]);
    }
    if (wanted) ctx->save_for_backward({dq.to(q_TQD.scalar_type()), dk.to(k_TKD.scalar_type())});
    return sum;
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    const auto times = [&](const at::Tensor& x) { return x * dy[0].to(x.scalar_type()); };
    return {times(saved[0]), times(saved[1]), {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor attention_map_loss(const LayerStates::Attention& student,
                              const LayerStates::Attention& teacher,
                              const std::vector<int64_t>& cu_seqlens, const at::Tensor& weights_T,
                              const MapDistance& distance) {
  const int64_t heads = std::max(student.q_TQD.size(1), teacher.q_TQD.size(1));
  const at::Tensor own =
      MapLossFunction::apply(student.q_TQD, student.k_TKD, student.scoring, teacher,
                             chunks_of(cu_seqlens, weights_T, heads), distance);
  if (distance.tp.size() == 1) return own;
  // The other ranks' heads are of their queries and keys.
  at::Tensor whole = own.detach().clone();
  distance.tp.sum(whole);
  return own + (whole - own.detach());
}

}  // namespace lathe
