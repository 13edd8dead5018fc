#include "trainer/kernels/attention.h"

#include <stdexcept>

#include "trainer/kernels/attention_bf16.h"
#include "trainer/kernels/attention_cpu.h"
#include "trainer/kernels/dispatch.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [T, N, D] -> [1, N, T, D], a view: ATen's attention takes batches of heads.
at::Tensor heads_first(const at::Tensor& x_TND) { return x_TND.transpose(0, 1).unsqueeze(0); }

// ATen's bfloat16 attention backward is 4-40 times slower than its float32 one on a CPU: compute in
// float32.
at::ScalarType cpu_type(at::ScalarType type) { return type == at::kDouble ? type : at::kFloat; }

int64_t longest(const std::vector<int64_t>& cu_seqlens) {
  int64_t most = 0;
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    most = std::max(most, cu_seqlens[d + 1] - cu_seqlens[d]);
  }
  return most;
}

void save(AutogradContext* ctx, const Scoring& scoring) {
  ctx->saved_data["scale"] = scoring.scale;
  ctx->saved_data["window"] = scoring.window;
  ctx->saved_data["softcap"] = scoring.softcap;
}

Scoring saved_scoring(AutogradContext* ctx) {
  return {ctx->saved_data["scale"].toDouble(), ctx->saved_data["window"].toInt(),
          ctx->saved_data["softcap"].toDouble()};
}

// FlashAttention's count of keys to the left of a token.
std::optional<int64_t> window_left(const Scoring& scoring) {
  return scoring.window > 0 ? std::optional(scoring.window - 1) : std::nullopt;
}

struct CpuAttention : torch::autograd::Function<CpuAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<int64_t>& cu_seqlens,
                            const Scoring& scoring) {
    const auto [out, lse] = cpu_attention(q, k, v, cu_seqlens, scoring);
    ctx->save_for_backward({q, k, v, out, lse});
    ctx->saved_data["cu_seqlens"] = cu_seqlens;
    save(ctx, scoring);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list s = ctx->get_saved_variables();
    const AttentionGradients d =
        cpu_attention_backward(dy[0].contiguous(), s[0], s[1], s[2], s[3], s[4],
                               ctx->saved_data["cu_seqlens"].toIntVector(), saved_scoring(ctx));
    return {d.q_TQD, d.k_TKD, d.v_TKD, {}, {}};
  }
};

struct Bf16Attention : torch::autograd::Function<Bf16Attention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<int64_t>& cu_seqlens,
                            const Scoring& scoring, const std::vector<int64_t>& shared) {
    const auto [out, lse] = bf16_attention(q, k, v, cu_seqlens, shared, scoring);
    ctx->save_for_backward({q, k, v, out, lse});
    ctx->saved_data["cu_seqlens"] = cu_seqlens;
    ctx->saved_data["shared"] = shared;
    save(ctx, scoring);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list s = ctx->get_saved_variables();
    const AttentionGradients d = bf16_attention_backward(
        dy[0].contiguous(), s[0], s[1], s[2], s[3], s[4],
        ctx->saved_data["cu_seqlens"].toIntVector(), ctx->saved_data["shared"].toIntVector(),
        saved_scoring(ctx));
    return {d.q_TQD, d.k_TKD, d.v_TKD, {}, {}, {}};
  }
};

// ATen's own kernel, one document at a time: for float64, and for a libtorch without MKL.
struct AtenAttention : torch::autograd::Function<AtenAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<int64_t>& cu_seqlens,
                            const Scoring& scoring) {
    at::Tensor out = at::empty_like(q);
    variable_list saved{q, k, v};
    for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
      const int64_t begin = cu_seqlens[d], end = cu_seqlens[d + 1];
      if (begin == end) continue;
      const auto [o, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
          heads_first(q.slice(0, begin, end)), heads_first(k.slice(0, begin, end)),
          heads_first(v.slice(0, begin, end)), 0.0, true, {}, scoring.scale);
      out.slice(0, begin, end).copy_(o.squeeze(0).transpose(0, 1));
      saved.push_back(o);
      saved.push_back(lse);
    }
    ctx->save_for_backward(saved);
    ctx->saved_data["cu_seqlens"] = cu_seqlens;
    save(ctx, scoring);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<int64_t> cu_seqlens = ctx->saved_data["cu_seqlens"].toIntVector();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &dout = dy[0];
    at::Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
    size_t next = 3;
    for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
      const int64_t begin = cu_seqlens[d], end = cu_seqlens[d + 1];
      if (begin == end) continue;
      const auto [gq, gk, gv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          heads_first(dout.slice(0, begin, end)), heads_first(q.slice(0, begin, end)),
          heads_first(k.slice(0, begin, end)), heads_first(v.slice(0, begin, end)), saved[next],
          saved[next + 1], 0.0, true, {}, saved_scoring(ctx).scale);
      next += 2;
      dq.slice(0, begin, end).copy_(gq.squeeze(0).transpose(0, 1));
      dk.slice(0, begin, end).copy_(gk.squeeze(0).transpose(0, 1));
      dv.slice(0, begin, end).copy_(gv.squeeze(0).transpose(0, 1));
    }
    return {dq, dk, dv, {}, {}};
  }
};

// FlashAttention's variable-length form.
struct CudaAttention : torch::autograd::Function<CudaAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<int64_t>& cu_seqlens,
                            const Scoring& scoring) {
    const at::Tensor cu = at::tensor(cu_seqlens, at::kInt).to(q.device());
    const int64_t most = longest(cu_seqlens);
    const auto [out, lse, rng, unused, mask] = at::_flash_attention_forward(
        q, k, v, cu, cu, most, most, 0.0, /*is_causal=*/true, /*return_debug_mask=*/false,
        scoring.scale, window_left(scoring));
    ctx->save_for_backward({q, k, v, out, lse, cu, rng, unused});
    ctx->saved_data["longest"] = most;
    save(ctx, scoring);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list s = ctx->get_saved_variables();
    const int64_t most = ctx->saved_data["longest"].toInt();
    const Scoring scoring = saved_scoring(ctx);
    const auto [dq, dk, dv] = at::_flash_attention_backward(
        dy[0].contiguous(), s[0], s[1], s[2], s[3], s[4], s[5], s[5], most, most, 0.0,
        /*is_causal=*/true, s[6], s[7], scoring.scale, window_left(scoring));
    return {dq, dk, dv, {}, {}};
  }
};

}  // namespace

bool can_attend_shared(const at::Tensor& q_TQD) { return has_bf16_attention(q_TQD); }

at::Tensor attention_to_shared(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                               const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                               const std::vector<int64_t>& shared, const Scoring& scoring) {
  if (!can_attend_shared(q_TQD))
    throw std::logic_error("attention: documents are to be laid whole here");
  return Bf16Attention::apply(q_TQD.contiguous(), k_TKD.contiguous(), v_TKD.contiguous(),
                              cu_seqlens, scoring, shared);
}

at::Tensor attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD,
                     const std::vector<int64_t>& cu_seqlens, const Scoring& scoring) {
  if (can_attend_shared(q_TQD))
    return attention_to_shared(q_TQD, k_TKD, v_TKD, cu_seqlens, {}, scoring);
  const bool own = has_cpu_attention() && cpu_type(q_TQD.scalar_type()) == at::kFloat;
  // ATen's kernels know no soft cap, and the CPU's no window.
  const bool plain =
      q_TQD.is_cuda() ? scoring.softcap > 0 : !own && (scoring.softcap > 0 || scoring.window > 0);
  if (plain) return plain_attention(q_TQD, k_TKD, v_TKD, cu_seqlens, scoring);
  if (q_TQD.is_cuda()) return CudaAttention::apply(q_TQD, k_TKD, v_TKD, cu_seqlens, scoring);
  const at::ScalarType type = cpu_type(q_TQD.scalar_type());
  const auto prepare = [&](const at::Tensor& x) { return x.to(type).contiguous(); };
  const at::Tensor q = prepare(q_TQD), k = prepare(k_TKD), v = prepare(v_TKD);
  return (own ? CpuAttention::apply(q, k, v, cu_seqlens, scoring)
              : AtenAttention::apply(q, k, v, cu_seqlens, scoring))
      .to(q_TQD.scalar_type());
}

at::Tensor attention_over_past(const at::Tensor& q_TQD, const at::Tensor& k_PKD,
                               const at::Tensor& v_PKD, const Scoring& scoring) {
  const int64_t group = q_TQD.size(1) / k_PKD.size(1), num_new = q_TQD.size(0);
  const at::ScalarType wide = cpu_type(q_TQD.scalar_type());
  const at::Tensor q = q_TQD.transpose(0, 1).to(wide);
  const at::Tensor k = k_PKD.transpose(0, 1).repeat_interleave(group, 0).to(wide);
  const at::Tensor v = v_PKD.transpose(0, 1).repeat_interleave(group, 0).to(wide);
  const int64_t past = k_PKD.size(0) - num_new;
  const at::Tensor all = at::ones({num_new, past + num_new}, q_TQD.options().dtype(at::kBool));
  at::Tensor hidden = all.triu(past + 1);
  if (scoring.window > 0) hidden = hidden.logical_or(all.tril(past - scoring.window));
  at::Tensor scores = at::matmul(q, k.transpose(1, 2)) * scoring.scale;
  if (scoring.softcap > 0) scores = scoring.softcap * (scores / scoring.softcap).tanh();
  const at::Tensor weights = scores.masked_fill(hidden, -INFINITY).softmax(-1);
  return at::matmul(weights, v).transpose(0, 1).to(q_TQD.scalar_type());
}

at::Tensor plain_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                           const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                           const Scoring& scoring) {
  std::vector<at::Tensor> parts;
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    const int64_t begin = cu_seqlens[d], end = cu_seqlens[d + 1];
    parts.push_back(attention_over_past(q_TQD.slice(0, begin, end), k_TKD.slice(0, begin, end),
                                 v_TKD.slice(0, begin, end), scoring));
  }
  return parts.empty() ? at::zeros_like(q_TQD) : at::cat(parts, 0);
}

}  // namespace lathe
