#include "trainer/kernels/lora.h"

#include "trainer/kernels/noise.h"
#include "trainer/kernels/product.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

int64_t address(const void* p) { return reinterpret_cast<int64_t>(p); }

void save_weights(AutogradContext* ctx, const LoraWeights& lora) {
  ctx->saved_data["weights"] =
      std::vector<int64_t>{address(lora.a), address(lora.b), address(lora.magnitude),
                           static_cast<int64_t>(lora.stream), lora.first_input};
  ctx->saved_data["numbers"] = std::vector<double>{lora.scale, lora.dropout};
}

LoraWeights saved_weights(AutogradContext* ctx) {
  const std::vector<int64_t> w = ctx->saved_data["weights"].toIntVector();
  const std::vector<double> n = ctx->saved_data["numbers"].toDoubleVector();
  const auto parameter = [&](size_t i) { return reinterpret_cast<Parameter*>(w[i]); };
  return {parameter(0), parameter(1), parameter(2), n[0], n[1], static_cast<uint64_t>(w[3]), w[4]};
}

// As products use it.
at::Tensor typed(const Parameter* parameter, const at::Tensor& like) {
  return parameter->value.detach().to(like.scalar_type());
}

at::Tensor dropped(const at::Tensor& x_TI, const LoraWeights& lora, const at::Tensor& keys_T) {
  if (!keys_T.defined() || lora.dropout == 0) return x_TI;
  return drop(x_TI, keys_T, lora.stream, lora.dropout, lora.first_input);
}

// into += scale h B^T
void add_second_product(at::Tensor& into_TO, const at::Tensor& h_TR, const LoraWeights& lora) {
  const at::Tensor b_OR = typed(lora.b, h_TR);
  if (into_TO.scalar_type() == at::kFloat) {
    into_TO.addmm_(h_TR, b_OR.t(), 1, lora.scale);
  } else {
    into_TO.add_(product(h_TR, b_OR), lora.scale);
  }
}

// The adapter's part of backward: sums the gradients of A and B, returns x's in x's type.
at::Tensor lora_backward(const at::Tensor& dz_TO, const at::Tensor& x_TI, const at::Tensor& h_TR,
                         const LoraWeights& lora, const at::Tensor& keys_T, bool x_needs) {
  if (lora.b->trained) add_outer(gradient_sum(*lora.b), dz_TO, h_TR * lora.scale);
  const at::Tensor dh_TR =
      product_back(dz_TO, typed(lora.b, dz_TO)).mul_(lora.scale).to(x_TI.scalar_type());
  if (lora.a->trained) add_outer(gradient_sum(*lora.a), dh_TR, dropped(x_TI, lora, keys_T));
  if (!x_needs) return {};
  return dropped(product_back(dh_TR, typed(lora.a, x_TI)).to(x_TI.scalar_type()), lora, keys_T);
}

variable_list gradients_of(AutogradContext* ctx, const at::Tensor& dx_TI, const at::Tensor& dy_TO) {
  variable_list gradients(ctx->saved_data["num_leaves"].toInt() + 4);
  gradients[0] = dx_TI;
  gradients[1] = dy_TO;
  return gradients;
}

// The leaves are inputs only so that the graph exists when x and y need no gradient.
struct LoraFunction : torch::autograd::Function<LoraFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TI, at::Tensor y_TO,
                            at::TensorList leaves, const LoraWeights& lora,
                            const std::optional<at::Tensor>& keys) {
    const at::Tensor keys_T = keys.value_or(at::Tensor());
    const at::Tensor h_TR = product(dropped(x_TI, lora, keys_T), typed(lora.a, x_TI));
    add_second_product(y_TO, h_TR, lora);
    ctx->mark_dirty({y_TO});
    ctx->save_for_backward({x_TI, h_TR, keys_T});
    ctx->saved_data["num_leaves"] = static_cast<int64_t>(leaves.size());
    ctx->saved_data["x"] = x_TI.requires_grad();
    save_weights(ctx, lora);
    return y_TO;
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor dx_TI = lora_backward(dy[0], saved[0], saved[1], saved_weights(ctx), saved[2],
                                           ctx->saved_data["x"].toBool());
    return gradients_of(ctx, dx_TI, dy[0]);
  }
};

struct DoraFunction : torch::autograd::Function<DoraFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TI, const at::Tensor& y_TO,
                            at::TensorList leaves, const LoraWeights& lora,
                            const std::optional<at::Tensor>& keys, const LinearWeights& base) {
    const at::Tensor keys_T = keys.value_or(at::Tensor());
    const at::Tensor norm_O = adapted_norm(base, lora);
    const at::Tensor factor_O = (lora.magnitude->value.detach() / norm_O).to(x_TI.scalar_type());
    const at::Tensor h_TR = product(dropped(x_TI, lora, keys_T), typed(lora.a, x_TI));
    at::Tensor z_TO = base.bias != nullptr ? y_TO - base.bias->value.detach() : y_TO.clone();
    add_second_product(z_TO, h_TR, lora);
    ctx->save_for_backward({x_TI, h_TR, keys_T, z_TO, norm_O, factor_O});
    ctx->saved_data["num_leaves"] = static_cast<int64_t>(leaves.size()) + 1;
    ctx->saved_data["x"] = x_TI.requires_grad();
    save_weights(ctx, lora);
    const at::Tensor out_TO = z_TO * factor_O;
    return base.bias != nullptr ? out_TO + base.bias->value.detach() : out_TO;
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    const LoraWeights lora = saved_weights(ctx);
    const at::Tensor &z_TO = saved[3], &norm_O = saved[4], &factor_O = saved[5];
    if (lora.magnitude->trained) {
      gradient_sum(*lora.magnitude).add_((dy[0].to(at::kFloat) * z_TO).sum(0) / norm_O);
    }
    const at::Tensor dz_TO = dy[0] * factor_O;
    const at::Tensor dx_TI =
        lora_backward(dz_TO, saved[0], saved[1], lora, saved[2], ctx->saved_data["x"].toBool());
    return gradients_of(ctx, dx_TI, dz_TO);
  }
};

// [O, I], float32.
at::Tensor product_ba(const LoraWeights& lora) {
  return at::mm(lora.b->value.detach().to(at::kFloat), lora.a->value.detach().to(at::kFloat))
      .mul_(lora.scale);
}

at::Tensor as_weight(const at::Tensor& x_OI, const LinearWeights& base) {
  return base.transposed ? x_OI.t().contiguous() : x_OI;
}

}  // namespace

at::Tensor add_lora(const at::Tensor& x_TI, const at::Tensor& y_TO, const LinearWeights& base,
                    const LoraWeights& lora, const at::Tensor& keys_T) {
  std::vector<at::Tensor> leaves{lora.a->value, lora.b->value};
  const std::optional<at::Tensor> keys = keys_T.defined() ? std::optional(keys_T) : std::nullopt;
  if (lora.magnitude == nullptr) {
    return LoraFunction::apply(x_TI, y_TO, at::TensorList(leaves), lora, keys);
  }
  leaves.push_back(lora.magnitude->value);
  return DoraFunction::apply(x_TI, y_TO, at::TensorList(leaves), lora, keys, base);
}

at::Tensor lora_delta(const LinearWeights& base, const LoraWeights& lora) {
  const at::NoGradGuard no_grad;
  return as_weight(product_ba(lora), base);
}

at::Tensor adapted_norm(const LinearWeights& base, const LoraWeights& lora) {
  const at::NoGradGuard no_grad;
  const at::Tensor weight = base.weight->value.detach();
  const at::Tensor sum_OI =
      product_ba(lora).add_((base.transposed ? weight.t() : weight).to(at::kFloat));
  at::Tensor norm_O = at::linalg_vector_norm(sum_OI, 2, at::IntArrayRef{1});
  lora.inputs.join_norm(norm_O);
  return norm_O;
}

at::Tensor merged_weight(const LinearWeights& base, const LoraWeights& lora) {
  const at::NoGradGuard no_grad;
  const at::Tensor sum = lora_delta(base, lora).add_(base.weight->value.detach().to(at::kFloat));
  if (lora.magnitude == nullptr) return sum;
  const at::Tensor factor_O =
      lora.magnitude->value.detach().to(at::kFloat) / adapted_norm(base, lora);
  return sum * (base.transposed ? factor_O : factor_O.unsqueeze(1));
}

}  // namespace lathe
