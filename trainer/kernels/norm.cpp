#include "trainer/kernels/norm.h"

#include "trainer/kernels/product.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kPartialSums = 16;

struct Forward {
  at::Tensor sum_TH, normed_TH, rstd_T;
};

Forward forward_rows(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                     const RmsNorm& options) {
  const int64_t rows = x.size(0), width = x.size(1);
  Forward out{delta.defined() ? at::empty_like(x) : x, at::empty_like(x),
              at::empty({rows}, x.options().dtype(at::kFloat))};
  with_row_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto kernel = row_kernels_for<T>(x).rms_norm;
    for_rows_of(x, rows, grain_rows(width), [&](int64_t begin, int64_t end) {
      const int64_t at = begin * width;
      const T* d = rows_of<T>(delta);
      kernel(rows_of<T>(out.normed_TH) + at, d ? rows_of<T>(out.sum_TH) + at : nullptr,
             rows_of<float>(out.rstd_T) + begin, rows_of<T>(x) + at, d ? d + at : nullptr,
             rows_of<T>(weight), end - begin, width, static_cast<float>(options.eps),
             static_cast<float>(options.offset));
    });
  });
  return out;
}

Forward forward_plain(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                      const RmsNorm& options) {
  const at::Tensor sum = delta.defined() ? x + delta : x;
  const at::Tensor wide = sum.to(accumulate_type(x.scalar_type()));
  const at::Tensor rstd = (wide.square().mean(1) + options.eps).rsqrt();
  return {sum, (wide * rstd.unsqueeze(1) * (weight + options.offset)).to(x.scalar_type()), rstd};
}

// Returns dx; adds into dweight (undefined: not wanted).
at::Tensor backward_rows(const at::Tensor& dy, const at::Tensor& dsum, const at::Tensor& x,
                         const at::Tensor& rstd, const at::Tensor& weight, double offset,
                         at::Tensor* dweight) {
  const int64_t rows = x.size(0), width = x.size(1);
  at::Tensor dx = at::empty_like(x);
  const int64_t parts = x.is_cpu() ? kPartialSums : 1, part_rows = (rows + parts - 1) / parts;
  at::Tensor partial = at::zeros({parts, width}, x.options().dtype(at::kFloat));
  with_row_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    const auto kernel = row_kernels_for<T>(x).rms_norm_backward;
    const int64_t grain = std::max<int64_t>(1, grain_rows(width) / std::max<int64_t>(1, part_rows));
    for_rows_of(x, parts, grain, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; ++part) {
        const int64_t begin = std::min(rows, part * part_rows);
        const int64_t end = std::min(rows, begin + part_rows), at = begin * width;
        const T* ds = rows_of<T>(dsum);
        kernel(rows_of<T>(dx) + at, rows_of<float>(partial) + part * width, rows_of<T>(dy) + at,
               ds ? ds + at : nullptr, rows_of<T>(x) + at, rows_of<float>(rstd) + begin,
               rows_of<T>(weight), end - begin, width, static_cast<float>(offset));
      }
    });
  });
  if (dweight != nullptr) {
    float* first = rows_of<float>(partial);
    for (int64_t part = 1; part < parts; ++part) {
      for (int64_t i = 0; i < width; ++i) first[i] += first[part * width + i];
    }
    dweight->add_(partial[0]);
  }
  return dx;
}

at::Tensor backward_plain(const at::Tensor& dy, const at::Tensor& dsum, const at::Tensor& x,
                          const at::Tensor& rstd, const at::Tensor& weight, double offset,
                          at::Tensor* dweight) {
  const at::ScalarType wide = accumulate_type(x.scalar_type());
  const at::Tensor normal = x.to(wide) * rstd.unsqueeze(1), dy_wide = dy.to(wide);
  const at::Tensor dnormal = dy_wide * (weight + offset);
  at::Tensor dx = (dnormal - normal * (dnormal * normal).mean(1, true)) * rstd.unsqueeze(1);
  if (dsum.defined()) dx = dx + dsum;
  if (dweight != nullptr) dweight->add_((dy_wide * normal).sum(0));
  return dx.to(x.scalar_type());
}

Forward forward_of(const at::Tensor& x, const at::Tensor& delta, const Parameter& weight,
                   const RmsNorm& options, Path path) {
  return (use_rows(x, path) ? forward_rows : forward_plain)(x, delta, weight.value, options);
}

Forward run_forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& delta,
                    Parameter* weight, const RmsNorm& options, Path path) {
  Forward out = forward_of(x, delta, *weight, options, path);
  ctx->saved_data["weight"] = reinterpret_cast<int64_t>(weight);
  ctx->saved_data["rows"] = use_rows(x, path);
  ctx->saved_data["offset"] = options.offset;
  ctx->set_materialize_grads(false);
  return out;
}

at::Tensor run_backward(AutogradContext* ctx, const at::Tensor& dy, const at::Tensor& dsum) {
  if (!dy.defined()) return dsum;
  const variable_list saved = ctx->get_saved_variables();
  auto& weight = *reinterpret_cast<Parameter*>(ctx->saved_data["weight"].toInt());
  at::Tensor* dweight = weight.trained ? &gradient_sum(weight) : nullptr;
  const auto backward = ctx->saved_data["rows"].toBool() ? backward_rows : backward_plain;
  return backward(dy.contiguous(), dsum.defined() ? dsum.contiguous() : dsum, saved[0], saved[1],
                  weight.value, ctx->saved_data["offset"].toDouble(), dweight);
}

struct NormFunction : torch::autograd::Function<NormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor&,
                            Parameter* weight, const RmsNorm& options, Path path) {
    const Forward out = run_forward(ctx, x, {}, weight, options, path);
    ctx->save_for_backward({x, out.rstd_T});
    return out.normed_TH;
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    return {run_backward(ctx, dy[0], {}), {}, {}, {}, {}};
  }
};

struct AddNormFunction : torch::autograd::Function<AddNormFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& delta,
                               const at::Tensor&, Parameter* weight, const RmsNorm& options,
                               Path path) {
    const Forward out = run_forward(ctx, x, delta, weight, options, path);
    ctx->save_for_backward({out.sum_TH, out.rstd_T});
    return {out.sum_TH, out.normed_TH};
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const at::Tensor dx = run_backward(ctx, dy[1], dy[0]);
    return {dx, dx, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x_TH, Parameter& weight_H, const RmsNorm& options,
                    Path path) {
  if (!at::GradMode::is_enabled()) {
    return forward_of(x_TH.contiguous(), {}, weight_H, options, path).normed_TH;
  }
  return NormFunction::apply(x_TH.contiguous(), weight_H.value, &weight_H, options, path);
}

AddedAndNormed add_rms_norm(const at::Tensor& x_TH, const at::Tensor& delta_TH, Parameter& weight_H,
                            const RmsNorm& options, Path path) {
  if (!at::GradMode::is_enabled()) {
    const Forward out =
        forward_of(x_TH.contiguous(), delta_TH.contiguous(), weight_H, options, path);
    return {out.sum_TH, out.normed_TH};
  }
  const variable_list out = AddNormFunction::apply(x_TH.contiguous(), delta_TH.contiguous(),
                                                   weight_H.value, &weight_H, options, path);
  return {out[0], out[1]};
}

}  // namespace lathe
