#include "trainer/kernels/cut_norm.h"

#include "trainer/kernels/product.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Holds a reference to the ranks, which outlive the graph.
struct CutNormFunction : torch::autograd::Function<CutNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TO, const at::Tensor&,
                            Parameter* weight, const RmsNorm& options, const TensorParallel* tp) {
    const at::Tensor wide_TO = x_TO.to(at::kFloat);
    const bool counted = weight->cut.runs.front().counted;
    at::Tensor squares_T = wide_TO.square().sum(1) * (counted ? 1.0 : 0.0);
    tp->sum(squares_T);
    const auto width = static_cast<double>(weight->cut.shape[0]);
    const at::Tensor rstd_T1 = (squares_T / width + options.eps).rsqrt().unsqueeze(1);
    ctx->save_for_backward({x_TO, rstd_T1});
    ctx->saved_data["weight"] = reinterpret_cast<int64_t>(weight);
    ctx->saved_data["tp"] = reinterpret_cast<int64_t>(tp);
    ctx->saved_data["offset"] = options.offset;
    return (wide_TO * rstd_T1 * (weight->value + options.offset)).to(x_TO.scalar_type());
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    auto& weight = *reinterpret_cast<Parameter*>(ctx->saved_data["weight"].toInt());
    const auto& tp = *reinterpret_cast<const TensorParallel*>(ctx->saved_data["tp"].toInt());
    const at::Tensor &rstd_T1 = saved[1], dy_TO = dy[0].to(at::kFloat),
                     normal_TO = saved[0].to(at::kFloat) * rstd_T1;
    if (weight.trained) gradient_sum(weight).add_((dy_TO * normal_TO).sum(0));
    const at::Tensor d_TO = dy_TO * (weight.value + ctx->saved_data["offset"].toDouble());
    at::Tensor pull_T = (d_TO * normal_TO).sum(1);
    tp.sum(pull_T);
    // What all columns send back goes through one of the ranks that hold the same ones.
    const bool counted = weight.cut.runs.front().counted;
    const double share = counted ? 1 / static_cast<double>(weight.cut.shape[0]) : 0;
    const at::Tensor dx_TO = (d_TO - normal_TO * (pull_T.unsqueeze(1) * share)) * rstd_T1;
    return {dx_TO.to(saved[0].scalar_type()), {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor cut_rms_norm(const at::Tensor& x_TO, Parameter& weight_O, const RmsNorm& options,
                        const TensorParallel& tp) {
  return CutNormFunction::apply(x_TO, weight_O.value, &weight_O, options, &tp);
}

}  // namespace lathe
