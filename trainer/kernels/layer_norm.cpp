#include "trainer/kernels/layer_norm.h"

#include "trainer/kernels/dispatch.h"
#include "trainer/kernels/product.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TH, const at::Tensor&,
                            Parameter* weight, Parameter* bias, double eps) {
    const auto [y_TH, mean_T1, rstd_T1] =
        at::native_layer_norm(x_TH, {x_TH.size(1)}, weight->value, bias->value, eps);
    ctx->save_for_backward({x_TH, mean_T1, rstd_T1});
    ctx->saved_data["weight"] = reinterpret_cast<int64_t>(weight);
    ctx->saved_data["bias"] = reinterpret_cast<int64_t>(bias);
    return y_TH;
  }

  // Not ATen's backward: its sums over the tokens depend on the number of threads.
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    auto& weight = *reinterpret_cast<Parameter*>(ctx->saved_data["weight"].toInt());
    auto& bias = *reinterpret_cast<Parameter*>(ctx->saved_data["bias"].toInt());
    const at::ScalarType wide = accumulate_type(saved[0].scalar_type());
    const at::Tensor dy_TH = dy[0].to(wide), rstd_T1 = saved[2].to(wide);
    const at::Tensor normal_TH = (saved[0].to(wide) - saved[1].to(wide)) * rstd_T1;
    if (weight.trained) gradient_sum(weight).add_((dy_TH * normal_TH).sum(0));
    if (bias.trained) gradient_sum(bias).add_(dy_TH.sum(0));
    const at::Tensor d_TH = dy_TH * weight.value;
    const at::Tensor dx_TH =
        (d_TH - d_TH.mean(1, true) - normal_TH * (d_TH * normal_TH).mean(1, true)) * rstd_T1;
    return {dx_TH.to(saved[0].scalar_type()), {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor layer_norm(const at::Tensor& x_TH, Parameter& weight_H, Parameter& bias_H, double eps) {
  return LayerNormFunction::apply(x_TH.contiguous(), weight_H.value, &weight_H, &bias_H, eps);
}

}  // namespace lathe
