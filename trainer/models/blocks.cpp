#include "trainer/models/blocks.h"

#include "trainer/kernels/cut_norm.h"
#include "trainer/kernels/geglu.h"
#include "trainer/kernels/rotary.h"
#include "trainer/kernels/swiglu.h"
#include "trainer/models/shared_beginnings.h"

namespace lathe {
namespace {

at::Tensor attend_cached(const Heads& heads, const Documents& documents, int64_t layer,
                         const Scoring& scoring) {
  std::vector<CachedKeys> past;
  for (const KvCache* cache : documents.caches) past.push_back({cache->blocks, cache->length});
  return cached_attention(heads.q_TQD, heads.k_TKD, heads.v_TKD, documents.cu_seqlens, past, layer,
                          scoring);
}

std::vector<at::Tensor> products(const at::Tensor& x_TH, std::vector<LinearLayer>& layers,
                                 const at::Tensor& keys_T) {
  std::vector<LinearWeights> weights;
  for (LinearLayer& layer : layers) weights.push_back(layer.weights());
  std::vector<at::Tensor> outputs = linears(x_TH, weights);
  for (size_t i = 0; i < layers.size(); ++i) {
    outputs[i] = layers[i].adapted(x_TH, outputs[i], keys_T);
  }
  return outputs;
}

at::Tensor normed(std::optional<NormLayer>& norm, const at::Tensor& x_TO,
                  const TensorParallel& tp) {
  if (!norm) return x_TO;
  if (!norm->weight.cut.is_whole()) return cut_rms_norm(x_TO, norm->weight, norm->options, tp);
  return (*norm)(x_TO.reshape({-1, norm->weight.value.size(0)})).view(x_TO.sizes());
}

at::Tensor turned(const at::Tensor& x_TND, Rotation rotation, const Documents& documents) {
  if (rotation == Rotation::kNone) return x_TND.contiguous();
  const RotaryAngles& angles =
      rotation == Rotation::kLocal ? documents.local_angles : documents.angles;
  return rotary(x_TND, angles.cos, angles.sin);
}

}  // namespace

Heads SelfAttention::heads(const at::Tensor& x_TH, const Documents& documents) {
  std::vector<at::Tensor> parts = products(x_TH, qkv, documents.keys_T);
  if (parts.size() == 1) {
    const int64_t KD = num_kv_heads * head_dim, QD = parts[0].size(1) - 2 * KD;
    parts = parts[0].split_with_sizes({QD, KD, KD}, 1);
  }
  const auto by_head = [&](const at::Tensor& x_TO) {
    return x_TO.view({x_TO.size(0), x_TO.size(1) / head_dim, head_dim});
  };
  return {.q_TQD = turned(by_head(normed(q_norm, parts[0], tp)), rotation, documents),
          .k_TKD = turned(by_head(normed(k_norm, parts[1], tp)), rotation, documents),
          .v_TKD = by_head(parts[2])};
}

at::Tensor SelfAttention::attend(const Heads& heads, const Documents& documents, int64_t layer) {
  if (!documents.caches.empty()) return attend_cached(heads, documents, layer, scoring).flatten(1);
  const auto& [q_TQD, k_TKD, v_TKD] = heads;
  return attention_of_sharing(q_TQD, k_TKD, v_TKD, documents.cu_seqlens, documents.shared, scoring)
      .flatten(1);
}

at::Tensor Mlp::operator()(const at::Tensor& x_TH, const at::Tensor& keys_T) {
  std::vector<at::Tensor> parts = products(x_TH, up, keys_T);
  if (gated && parts.size() == 1) parts = parts[0].chunk(2, 1);
  if (activation == Activation::kSilu) return down(swiglu(parts[0], parts.at(1)), keys_T);
  return down(gated ? geglu(parts[0], parts[1]) : lathe::gelu(parts[0]), keys_T);
}

at::Tensor Residual::add_and_norm(NormLayer* norm) {
  if (!delta_TH.defined()) return norm != nullptr ? (*norm)(x_TH) : x_TH;
  if (norm == nullptr) return x_TH = x_TH + delta_TH;
  const AddedAndNormed next = norm->add(x_TH, delta_TH);
  x_TH = next.sum_TH;
  return next.normed_TH;
}

Heads Block::begin(Residual& residual, const Documents& documents) {
  const at::Tensor x_SH = residual.add_and_norm(before_attention);
  return attention.heads(tp.enter(x_SH, documents.cu_seqlens.back()), documents);
}

at::Tensor Block::attend(const Heads& heads, const Documents& documents, int64_t layer) {
  return attention.attend(heads, documents, layer);
}

void Block::finish(Residual& residual, const at::Tensor& attended, const Documents& documents,
                   std::vector<Routing>* routings) {
  const auto after = [](std::optional<NormLayer>& norm, const at::Tensor& y_TH) {
    return norm ? (*norm)(y_TH) : y_TH;
  };
  LinearLayer& o = attention.o;
  residual.delta_TH = after(after_attention, o.leave(o(attended, documents.keys_T), tp));
  const at::Tensor x_TH = tp.enter(residual.add_and_norm(before_mlp), documents.cu_seqlens.back());
  residual.delta_TH =
      after(after_mlp, experts ? tp.leave((*experts)(x_TH, documents.keys_T, routings))
                               : mlp.down.leave(mlp(x_TH, documents.keys_T), tp));
}

void Block::list_linears(std::vector<LinearLayer*>& into) {
  for (LinearLayer& layer : attention.qkv) into.push_back(&layer);
  into.push_back(&attention.o);
  if (!experts) return mlp.list_linears(into);
  for (Mlp& expert : experts->experts) expert.list_linears(into);
}

void Mlp::list_linears(std::vector<LinearLayer*>& into) {
  for (LinearLayer& layer : up) into.push_back(&layer);
  into.push_back(&down);
}

void Mlp::list(std::vector<Parameter*>& into) {
  for (LinearLayer& layer : up) layer.list(into);
  down.list(into);
}

void Block::list(std::vector<Parameter*>& into) {
  for (LinearLayer& layer : attention.qkv) layer.list(into);
  attention.o.list(into);
  experts ? experts->list(into) : mlp.list(into);
  for (std::optional<NormLayer>* norm : {&before_attention, &after_attention, &before_mlp,
                                         &after_mlp, &attention.q_norm, &attention.k_norm}) {
    if (*norm) (*norm)->list(into);
  }
}

}  // namespace lathe
