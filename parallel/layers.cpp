#include "parallel/layers.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Group& group_in(AutogradContext* ctx) {
  return *reinterpret_cast<Group*>(ctx->saved_data["group"].toInt());
}

void save_group(AutogradContext* ctx, Group* group) {
  ctx->saved_data["group"] = reinterpret_cast<int64_t>(group);
}

at::Tensor summed(const at::Tensor& x, Group& group) {
  at::Tensor sum = x.contiguous().clone();
  group.all_reduce(sum, Reduce::kSum);
  return sum;
}

// As many rows as are a multiple of the ranks, zeros at the end.
at::Tensor padded(const at::Tensor& x, int ranks) {
  const int64_t rows = (x.size(0) + ranks - 1) / ranks * ranks;
  if (rows == x.size(0)) return x.contiguous();
  std::vector<int64_t> shape = x.sizes().vec();
  shape[0] = rows;
  at::Tensor result = at::zeros(shape, x.options().requires_grad(false));
  result.narrow(0, 0, x.size(0)).copy_(x);
  return result;
}

at::Tensor gathered(const at::Tensor& x_SH, int64_t num_tokens, Group& group) {
  std::vector<int64_t> shape = x_SH.sizes().vec();
  shape[0] *= group.size();
  at::Tensor whole = at::empty(shape, x_SH.options().requires_grad(false));
  group.all_gather(x_SH.contiguous(), whole);
  return whole.narrow(0, 0, num_tokens);
}

at::Tensor scattered(const at::Tensor& x_TH, Group& group) {
  const at::Tensor whole = padded(x_TH, group.size());
  std::vector<int64_t> shape = whole.sizes().vec();
  shape[0] /= group.size();
  at::Tensor slice = at::empty(shape, whole.options().requires_grad(false));
  group.reduce_scatter(whole, slice);
  return slice;
}

struct EnterFunction : torch::autograd::Function<EnterFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, Group* group) {
    save_group(ctx, group);
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    return {summed(dy[0], group_in(ctx)), {}};
  }
};

struct LeaveFunction : torch::autograd::Function<LeaveFunction> {
  static at::Tensor forward(AutogradContext*, const at::Tensor& x, Group* group) {
    return summed(x, *group);
  }
  static variable_list backward(AutogradContext*, variable_list dy) { return {dy[0], {}}; }
};

struct GatherTokensFunction : torch::autograd::Function<GatherTokensFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, int64_t num_tokens,
                            Group* group) {
    save_group(ctx, group);
    return gathered(x, num_tokens, *group);
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    return {scattered(dy[0], group_in(ctx)), {}, {}};
  }
};

struct ScatterTokensFunction : torch::autograd::Function<ScatterTokensFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, Group* group) {
    save_group(ctx, group);
    ctx->saved_data["tokens"] = x.size(0);
    return scattered(x, *group);
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    return {gathered(dy[0], ctx->saved_data["tokens"].toInt(), group_in(ctx)), {}};
  }
};

struct DivideGradientFunction : torch::autograd::Function<DivideGradientFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, int64_t by) {
    ctx->saved_data["by"] = by;
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    return {dy[0] / static_cast<double>(ctx->saved_data["by"].toInt()), {}};
  }
};

}  // namespace

CutRun TensorParallel::share(int64_t count, int64_t width) const {
  const int64_t ranks = size(), me = rank();
  if (count >= ranks) return {count * me / ranks * width, count * (me + 1) / ranks * width};
  const int64_t unit = me * count / ranks;
  return {unit * width, (unit + 1) * width, /*shared=*/true,
          me == 0 || unit != (me - 1) * count / ranks};
}

Cut TensorParallel::cut(std::vector<int64_t> shape, int64_t dim, std::vector<CutRun> runs) const {
  if (size() == 1) return {};
  return {.shape = std::move(shape), .dim = dim, .runs = std::move(runs)};
}

Cut TensorParallel::copy(std::vector<int64_t> shape) const {
  const int64_t all = shape.empty() ? 1 : shape[0];
  return cut(std::move(shape), 0, {{0, all, true, rank() == 0}});
}

at::Tensor TensorParallel::enter(const at::Tensor& x_SH, int64_t num_tokens) const {
  if (size() == 1) return x_SH;
  return sequence_ ? GatherTokensFunction::apply(x_SH, num_tokens, group_)
                   : EnterFunction::apply(x_SH, group_);
}

at::Tensor TensorParallel::leave(const at::Tensor& summand_TH) const {
  if (size() == 1) return summand_TH;
  return sequence_ ? ScatterTokensFunction::apply(summand_TH, group_)
                   : LeaveFunction::apply(summand_TH, group_);
}

at::Tensor TensorParallel::own_tokens(const at::Tensor& x_T) const {
  if (!shares_tokens()) return x_T;
  const at::Tensor whole = padded(x_T, size());
  const int64_t count = whole.size(0) / size();
  return whole.narrow(0, count * rank(), count);
}

at::Tensor TensorParallel::same_everywhere(const at::Tensor& x) const {
  return size() == 1 || !x.defined() ? x : DivideGradientFunction::apply(x, int64_t{size()});
}

void TensorParallel::join_softmax(at::Tensor& picked_N, at::Tensor& lse_N) const {
  if (size() == 1) return;
  at::Tensor top_N = lse_N.clone();
  group_->all_reduce(top_N, Reduce::kMax);
  at::Tensor sums_2N = at::stack({picked_N + lse_N, (lse_N - top_N).exp()});
  group_->all_reduce(sums_2N, Reduce::kSum);
  lse_N.copy_(top_N + sums_2N[1].log());
  picked_N.copy_(sums_2N[0] - lse_N);
}

void TensorParallel::join_mean(at::Tensor& mean_N, int64_t count, int64_t whole) const {
  if (size() == 1) return;
  mean_N.mul_(static_cast<double>(count) / static_cast<double>(whole));
  group_->all_reduce(mean_N, Reduce::kSum);
}

void TensorParallel::join_norm(at::Tensor& norm_O) const {
  if (size() == 1) return;
  norm_O.square_();
  group_->all_reduce(norm_O, Reduce::kSum);
  norm_O.sqrt_();
}

void TensorParallel::sum(at::Tensor& x) const {
  if (size() > 1) group_->all_reduce(x, Reduce::kSum);
}

at::Tensor TensorParallel::join_columns(const at::Tensor& part_NV, const Cut& rows) const {
  if (size() == 1) return part_NV;
  Cut cut{.shape = {part_NV.size(0), rows.shape[0]}, .dim = 1, .runs = rows.runs};
  return whole_of(part_NV, cut, *group_);
}

}  // namespace lathe
