#include "trainer/kernels/head.h"

#include "trainer/kernels/embedding.h"
#include "trainer/kernels/product.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void pick_rows(const at::Tensor& logits, const at::Tensor& targets, at::Tensor& picked,
               at::Tensor& lse) {
  const int64_t rows = logits.size(0), width = logits.size(1);
  with_row_type(logits.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(logits, rows, grain_rows(width), [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(logits).log_softmax_pick(
          rows_of<float>(picked) + begin, rows_of<float>(lse) + begin,
          rows_of<T>(logits) + begin * width, rows_of<int64_t>(targets) + begin, end - begin,
          width);
    });
  });
}

void pick_plain(const at::Tensor& logits, const at::Tensor& targets, at::Tensor& picked,
                at::Tensor& lse) {
  const at::Tensor wide = logits.to(accumulate_type(logits.scalar_type()));
  lse.copy_(wide.logsumexp(1));
  const at::Tensor logits_T = wide.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  picked.copy_(logits_T * targets.ge(0) - lse);
}

void pick_backward_rows(at::Tensor& dlogits, const at::Tensor& logits, const at::Tensor& lse,
                        const at::Tensor& dpicked, const at::Tensor& targets) {
  const int64_t rows = logits.size(0), width = logits.size(1);
  with_row_type(logits.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(logits, rows, grain_rows(width), [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(logits).log_softmax_pick_backward(
          rows_of<T>(dlogits) + begin * width, rows_of<T>(logits) + begin * width,
          rows_of<float>(lse) + begin, rows_of<float>(dpicked) + begin,
          rows_of<int64_t>(targets) + begin, end - begin, width);
    });
  });
}

void pick_backward_plain(at::Tensor& dlogits, const at::Tensor& logits, const at::Tensor& lse,
                         const at::Tensor& dpicked, const at::Tensor& targets) {
  const at::Tensor d = dpicked.unsqueeze(1);
  at::Tensor wide =
      (logits.to(accumulate_type(logits.scalar_type())) - lse.unsqueeze(1)).exp() * -d;
  wide.scatter_add_(1, targets.clamp_min(0).unsqueeze(1), d * targets.ge(0).unsqueeze(1));
  dlogits.copy_(wide);
}

// dlogits *= the slope of the cap, which is 1 - (capped / cap)^2.
void uncap_gradient(at::Tensor& dlogits, const at::Tensor& capped, double softcap, bool rows) {
  if (softcap == 0) return;
  if (!rows) {
    dlogits.mul_(1 - (capped / softcap).square());
    return;
  }
  with_row_type(dlogits.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(dlogits, dlogits.numel(), 16384, [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(dlogits).softcap_backward(rows_of<T>(dlogits) + begin,
                                                   rows_of<T>(capped) + begin, end - begin,
                                                   static_cast<float>(softcap));
    });
  });
}

int64_t vocabulary_of(const Parameter& weight_VH) { return weight_VH.whole_shape()[0]; }

// Targets below 0 are another rank's.
struct HeadFunction : torch::autograd::Function<HeadFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& hidden_NH, const at::Tensor&,
                               const at::Tensor& targets_N, Parameter* weight, HeadOptions options,
                               bool with_mean) {
    const bool rows = use_rows(hidden_NH, options.path);
    const int64_t num_rows = hidden_NH.size(0);
    const int64_t chunk_rows = even_chunk_rows(num_rows, options.chunk_rows);
    const auto wide = hidden_NH.options().dtype(accumulate_type(hidden_NH.scalar_type()));
    at::Tensor picked_N = at::empty({num_rows}, wide), lse_N = at::empty({num_rows}, wide);
    at::Tensor mean_N = with_mean ? at::empty({num_rows}, wide) : at::Tensor();
    std::vector<at::Tensor> kept;
    int64_t kept_bytes = 0;
    const at::Tensor operand = product_operand(weight->value);
    for (int64_t begin = 0; begin < num_rows; begin += chunk_rows) {
      const int64_t end = std::min(num_rows, begin + chunk_rows);
      at::Tensor logits_CV = product(hidden_NH.slice(0, begin, end), operand);
      cap_logits(logits_CV, options.softcap, options.path);
      at::Tensor picked = picked_N.slice(0, begin, end), lse = lse_N.slice(0, begin, end);
      (rows ? pick_rows : pick_plain)(logits_CV, targets_N.slice(0, begin, end), picked, lse);
      if (with_mean)
        mean_N.slice(0, begin, end).copy_(logits_CV.mean(1, false, mean_N.scalar_type()));
      kept_bytes += static_cast<int64_t>(logits_CV.nbytes());
      if (kept_bytes <= options.keep_bytes) kept.push_back(logits_CV);
    }
    options.tp.join_softmax(picked_N, lse_N);
    if (with_mean) options.tp.join_mean(mean_N, weight->value.size(0), vocabulary_of(*weight));
    ctx->save_for_backward({hidden_NH, targets_N, lse_N});
    ctx->saved_data["kept"] = kept;
    ctx->saved_data["weight"] = reinterpret_cast<int64_t>(weight);
    ctx->saved_data["rows"] = rows;
    ctx->saved_data["chunk_rows"] = chunk_rows;
    ctx->saved_data["softcap"] = options.softcap;
    ctx->saved_data["hidden"] = hidden_NH.requires_grad();
    ctx->set_materialize_grads(false);
    return with_mean ? variable_list{picked_N, lse_N, mean_N} : variable_list{picked_N, lse_N};
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &hidden_NH = saved[0], &targets_N = saved[1], &lse_N = saved[2];
    auto& weight = *reinterpret_cast<Parameter*>(ctx->saved_data["weight"].toInt());
    const bool rows = ctx->saved_data["rows"].toBool();
    const double softcap = ctx->saved_data["softcap"].toDouble();
    const auto pick_backward = rows ? pick_backward_rows : pick_backward_plain;
    const int64_t chunk_rows = ctx->saved_data["chunk_rows"].toInt(), num_rows = hidden_NH.size(0);
    // With p the softmax: dlogits = dpicked (onehot - p) + dlse p + dmean / V.
    const bool with_lse = dy[1].defined(), with_mean = dy.size() > 2 && dy[2].defined();
    at::Tensor dpicked_N = dy[0].defined() ? dy[0].contiguous() : at::zeros_like(lse_N);
    if (with_lse) dpicked_N = dpicked_N - dy[1];
    const bool hidden_needs = ctx->saved_data["hidden"].toBool();
    at::Tensor dhidden_NH = hidden_needs ? at::empty_like(hidden_NH) : at::Tensor();
    at::Tensor scratch_CV;
    const at::Tensor operand = product_operand(weight.value);
    // Written over: should the graph be run again, they are computed again.
    const std::vector<at::Tensor> kept = ctx->saved_data["kept"].toTensorVector();
    ctx->saved_data["kept"] = std::vector<at::Tensor>();
    auto next_kept = kept.begin();
    for (int64_t begin = 0; begin < num_rows; begin += chunk_rows) {
      const int64_t end = std::min(num_rows, begin + chunk_rows);
      const at::Tensor hidden = hidden_NH.slice(0, begin, end);
      const bool is_kept = next_kept != kept.end();
      at::Tensor logits = is_kept ? *next_kept++ : product(hidden, operand);
      if (!is_kept) cap_logits(logits, softcap, rows ? Path::kBest : Path::kPlain);
      // The slope of the cap is taken from the logits, so they are not overwritten.
      const bool apart = softcap > 0;
      if (apart && !scratch_CV.defined()) scratch_CV = at::empty_like(logits);
      at::Tensor dlogits = apart ? scratch_CV.slice(0, 0, end - begin) : logits;
      pick_backward(dlogits, logits, lse_N.slice(0, begin, end), dpicked_N.slice(0, begin, end),
                    targets_N.slice(0, begin, end));
      if (with_lse) {
        const at::Tensor targets = targets_N.slice(0, begin, end);
        const at::Tensor dlse = dy[1].slice(0, begin, end) * targets.ge(0);
        dlogits.scatter_add_(1, targets.clamp_min(0).unsqueeze(1),
                             dlse.unsqueeze(1).to(dlogits.scalar_type()));
      }
      if (with_mean) {
        const auto vocabulary = static_cast<double>(vocabulary_of(weight));
        dlogits.add_((dy[2].slice(0, begin, end) / vocabulary).unsqueeze(1));
      }
      uncap_gradient(dlogits, logits, softcap, rows);
      if (weight.trained) {
        add_outer(gradient_sum(weight), dlogits, hidden);
      } else if (weight.rows != nullptr) {
        add_outer(gradient_sum(*weight.rows), dlogits.index_select(1, weight.row_ids), hidden);
      }
      if (hidden_needs) dhidden_NH.slice(0, begin, end).copy_(product_back(dlogits, operand));
    }
    return {dhidden_NH, {}, {}, {}, {}, {}};
  }
};

}  // namespace

void cap_logits(at::Tensor& logits, double softcap, Path path) {
  if (softcap == 0) return;
  if (!use_rows(logits, path)) {
    logits.div_(softcap).tanh_().mul_(softcap);
    return;
  }
  with_row_type(logits.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(logits, logits.numel(), 16384, [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(logits).softcap(rows_of<T>(logits) + begin, end - begin,
                                         static_cast<float>(softcap));
    });
  });
}

HeadOutputs head_outputs(const at::Tensor& hidden_NH, Parameter& weight_VH,
                         const at::Tensor& targets_N, const HeadOptions& options, bool with_mean) {
  const at::Tensor targets = targets_N.contiguous();
  check_tokens(targets, vocabulary_of(weight_VH));
  const variable_list out =
      HeadFunction::apply(hidden_NH.contiguous(), weight_VH.value,
                          local_indices(targets, weight_VH.cut), &weight_VH, options, with_mean);
  return {out[0], out[1], with_mean ? out[2] : at::Tensor()};
}

at::Tensor head_log_probs(const at::Tensor& hidden_NH, Parameter& weight_VH,
                          const at::Tensor& targets_N, const HeadOptions& options) {
  return head_outputs(hidden_NH, weight_VH, targets_N, options, false).log_probs;
}

}  // namespace lathe
