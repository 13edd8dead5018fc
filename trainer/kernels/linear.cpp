#include "trainer/kernels/linear.h"

#include <algorithm>

#include "trainer/kernels/product.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor weight_OI(const LinearWeights& weights) {
  return weights.transposed ? weights.weight->value.t() : weights.weight->value;
}

void add_bias_gradient(Parameter& bias, const at::Tensor& dy_TO) {
  at::Tensor& grad_O = gradient_sum(bias);
  grad_O.add_(dy_TO.sum(0, false, grad_O.scalar_type()));
}

void add_weight_gradients(const LinearWeights& weights, const at::Tensor& dy_TO,
                          const at::Tensor& x_TI) {
  if (weights.weight->trained) {
    at::Tensor& grad = gradient_sum(*weights.weight);
    weights.transposed ? add_outer(grad, x_TI, dy_TO) : add_outer(grad, dy_TO, x_TI);
  }
  if (weights.bias != nullptr && weights.bias->trained) add_bias_gradient(*weights.bias, dy_TO);
}

bool any_trained(const std::vector<LinearWeights>& weights) {
  return std::ranges::any_of(weights, [](const LinearWeights& w) {
    return w.weight->trained || (w.bias != nullptr && w.bias->trained);
  });
}

std::vector<at::Tensor> outputs_of(const at::Tensor& x_TI,
                                   const std::vector<LinearWeights>& weights) {
  std::vector<at::Tensor> matrices;
  for (const LinearWeights& w : weights) matrices.push_back(weight_OI(w));
  std::vector<at::Tensor> outputs = products(x_TI, matrices);
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i].bias != nullptr) outputs[i].add_(weights[i].bias->value);
  }
  return outputs;
}

// The weights are inputs of the graph only so that it exists when x itself needs no gradient. x is
// kept for their gradients: frozen ones keep nothing.
struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x_TI, at::TensorList leaves,
                               const std::vector<LinearWeights>& weights) {
    ctx->save_for_backward({any_trained(weights) ? x_TI : at::Tensor()});
    ctx->saved_data["type"] = x_TI.scalar_type();
    ctx->set_materialize_grads(false);
    ctx->saved_data["num_leaves"] = static_cast<int64_t>(leaves.size());
    ctx->saved_data["x"] = x_TI.requires_grad();
    std::vector<int64_t> pointers;
    for (const LinearWeights& w : weights) {
      pointers.push_back(reinterpret_cast<int64_t>(w.weight));
      pointers.push_back(reinterpret_cast<int64_t>(w.bias));
      pointers.push_back(w.transposed);
    }
    ctx->saved_data["weights"] = pointers;
    return outputs_of(x_TI, weights);
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const at::Tensor x_TI = ctx->get_saved_variables()[0];
    const std::vector<int64_t> pointers = ctx->saved_data["weights"].toIntVector();
    const bool x_needs = ctx->saved_data["x"].toBool();
    at::Tensor dx_TI;
    for (size_t i = 0; i < dy.size(); ++i) {
      if (!dy[i].defined()) continue;
      const LinearWeights weights{reinterpret_cast<Parameter*>(pointers[3 * i]),
                                  reinterpret_cast<Parameter*>(pointers[3 * i + 1]),
                                  pointers[3 * i + 2] != 0};
      add_weight_gradients(weights, dy[i], x_TI);
      if (x_needs) dx_TI = product_back(dy[i], weight_OI(weights), dx_TI);
    }
    variable_list gradients(ctx->saved_data["num_leaves"].toInt() + 2);
    if (dx_TI.defined()) gradients[0] = dx_TI.to(ctx->saved_data["type"].toScalarType());
    return gradients;
  }
};

// The leaf is an input only so that the graph exists.
struct BiasFunction : torch::autograd::Function<BiasFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& y_TO, const at::Tensor&,
                            Parameter* bias) {
    ctx->saved_data["bias"] = reinterpret_cast<int64_t>(bias);
    return y_TO + bias->value;
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    auto& bias = *reinterpret_cast<Parameter*>(ctx->saved_data["bias"].toInt());
    if (bias.trained) add_bias_gradient(bias, dy[0]);
    return {dy[0], {}, {}};
  }
};

}  // namespace

at::Tensor add_bias(const at::Tensor& y_TO, Parameter& bias_O) {
  return BiasFunction::apply(y_TO, bias_O.value, &bias_O);
}

std::vector<at::Tensor> linears(const at::Tensor& x_TI, const std::vector<LinearWeights>& weights) {
  if (!at::GradMode::is_enabled()) return outputs_of(x_TI, weights);
  std::vector<at::Tensor> leaves;
  for (const LinearWeights& w : weights) {
    leaves.push_back(w.weight->value);
    if (w.bias != nullptr) leaves.push_back(w.bias->value);
  }
  return LinearFunction::apply(x_TI, at::TensorList(leaves), weights);
}

at::Tensor linear(const at::Tensor& x_TI, LinearWeights weights) {
  return linears(x_TI, {weights})[0];
}

}  // namespace lathe
