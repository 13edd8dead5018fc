#include "trainer/models/blocks.h"

#include "trainer/kernels/attention.h"
#include "trainer/kernels/rotary.h"
#include "trainer/kernels/swiglu.h"

namespace lathe {
namespace {

// Appends the new keys and values of one sequence and returns all it holds.
PastKeys append(KvCache& cache, int64_t layer, const at::Tensor& k_TKD, const at::Tensor& v_TKD) {
  const int64_t begin = cache.length, end = begin + k_TKD.size(0);
  cache.keys[layer].slice(0, begin, end).copy_(k_TKD);
  cache.values[layer].slice(0, begin, end).copy_(v_TKD);
  return {cache.keys[layer].slice(0, 0, end), cache.values[layer].slice(0, 0, end)};
}

at::Tensor attend_cached(const at::Tensor& q_TQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD,
                         const Documents& documents, int64_t layer, double scale) {
  std::vector<PastKeys> past;
  for (size_t d = 0; d < documents.caches.size(); ++d) {
    const int64_t begin = documents.cu_seqlens[d], end = documents.cu_seqlens[d + 1];
    past.push_back(append(*documents.caches[d], layer, k_TKD.slice(0, begin, end),
                          v_TKD.slice(0, begin, end)));
  }
  return attention_over_past(q_TQD, documents.cu_seqlens, past, scale);
}

}  // namespace

at::Tensor SelfAttention::operator()(const at::Tensor& x_TH, const Documents& documents,
                                     int64_t layer) {
  const std::vector<at::Tensor> qkv = linears(x_TH, {q.weights(), k.weights(), v.weights()});
  const int64_t T = x_TH.size(0);
  const auto& [cos, sin] = documents.angles;
  const at::Tensor q_TQD = rotary(qkv[0].view({T, qkv[0].size(1) / head_dim, head_dim}), cos, sin);
  const at::Tensor k_TKD = rotary(qkv[1].view({T, qkv[1].size(1) / head_dim, head_dim}), cos, sin);
  const at::Tensor v_TKD = qkv[2].view({T, qkv[2].size(1) / head_dim, head_dim});
  const at::Tensor out_TQD =
      documents.caches.empty() ? lathe::attention(q_TQD, k_TKD, v_TKD, documents.cu_seqlens, scale)
                               : attend_cached(q_TQD, k_TKD, v_TKD, documents, layer, scale);
  return o(out_TQD.flatten(1));
}

at::Tensor GatedMlp::operator()(const at::Tensor& x_TH) {
  const std::vector<at::Tensor> gate_up = linears(x_TH, {gate.weights(), up.weights()});
  return down(swiglu(gate_up[0], gate_up[1]));
}

void Block::list(std::vector<Parameter*>& into) {
  for (LinearLayer* layer :
       {&attention.q, &attention.k, &attention.v, &attention.o, &mlp.gate, &mlp.up, &mlp.down}) {
    layer->list(into);
  }
  into.push_back(&attention_norm);
  into.push_back(&mlp_norm);
}

}  // namespace lathe
