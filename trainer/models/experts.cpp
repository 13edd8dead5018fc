#include <ATen/ATen.h>

#include "trainer/kernels/dispatch.h"
#include "trainer/kernels/product.h"
#include "trainer/models/blocks.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// x W^T in float32 whatever the weights' type: a choice between experts that are close must not
// hang on 16 bits. The gradient of W is added into its Parameter.
struct RouterFunction : torch::autograd::Function<RouterFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TH, const at::Tensor& leaf_EH,
                            Parameter& router) {
    ctx->save_for_backward({x_TH});
    ctx->saved_data["router"] = reinterpret_cast<int64_t>(&router);
    const at::ScalarType wide = accumulate_type(x_TH.scalar_type());
    return product(x_TH.to(wide), leaf_EH.to(wide));
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const at::Tensor x_TH = ctx->get_saved_variables()[0];
    auto& router = *reinterpret_cast<Parameter*>(ctx->saved_data["router"].toInt());
    const at::ScalarType wide = dy[0].scalar_type();
    if (router.trained) add_outer(gradient_sum(router), dy[0], x_TH.to(wide));
    return {at::mm(dy[0], router.value.to(wide)).to(x_TH.scalar_type()), {}, {}};
  }
};

// Every choice of every token, T * A in all, in the order of the experts.
struct Sorted {
  at::Tensor token, place;      // the token of each; where choice (t, a) stands
  std::vector<int64_t> counts;  // of each expert
};

Sorted sort_by_expert(const at::Tensor& chosen_TA, int64_t num_experts) {
  const at::Tensor flat = chosen_TA.flatten();
  const at::Tensor order = flat.argsort(/*stable=*/true, 0, /*descending=*/false);
  const at::Tensor counts = at::bincount(flat, {}, num_experts).to(at::kCPU);
  Sorted sorted;
  sorted.token = order.floor_divide(chosen_TA.size(1));
  sorted.place =
      at::empty_like(order).index_copy_(0, order, at::arange(order.size(0), order.options()));
  sorted.counts.assign(counts.const_data_ptr<int64_t>(),
                       counts.const_data_ptr<int64_t>() + counts.numel());
  return sorted;
}

}  // namespace

at::Tensor Experts::operator()(const at::Tensor& x_TH, const at::Tensor& keys_T,
                               std::vector<Routing>* routings) {
  const at::Tensor probabilities_TE = RouterFunction::apply(x_TH, router.value, router).softmax(-1);
  auto [weights_TA, chosen_TA] = probabilities_TE.topk(per_token, -1);
  if (renormalise) weights_TA = weights_TA / weights_TA.sum(-1, /*keepdim=*/true);
  if (routings != nullptr) routings->push_back({probabilities_TE, chosen_TA});

  const Sorted sorted = sort_by_expert(chosen_TA, static_cast<int64_t>(experts.size()));
  const std::vector<at::Tensor> inputs =
      x_TH.index_select(0, sorted.token).split_with_sizes(sorted.counts);
  const std::vector<at::Tensor> keys =
      keys_T.defined() ? keys_T.index_select(0, sorted.token).split_with_sizes(sorted.counts)
                       : std::vector<at::Tensor>(experts.size());
  std::vector<at::Tensor> outputs;
  for (size_t e = 0; e < experts.size(); ++e) {
    if (sorted.counts[e] > 0) outputs.push_back(experts[e](inputs[e], keys[e]));
  }
  if (outputs.empty()) return x_TH * weights_TA.sum();  // no token: nothing, with a gradient of 0
  const at::Tensor said_TAH =
      at::cat(outputs).index_select(0, sorted.place).view({x_TH.size(0), per_token, x_TH.size(1)});
  return (said_TAH * weights_TA.to(x_TH.scalar_type()).unsqueeze(-1)).sum(1);
}

void Experts::list(std::vector<Parameter*>& into) {
  into.push_back(&router);
  for (Mlp& expert : experts) expert.list(into);
}

at::Tensor balance_loss(const std::vector<Routing>& routings) {
  std::vector<at::Tensor> probabilities, chosen;
  for (const Routing& routing : routings) {
    probabilities.push_back(routing.probabilities_TE);
    chosen.push_back(routing.chosen_TA);
  }
  if (routings.empty() || probabilities[0].size(0) == 0) return {};
  const at::Tensor all = at::cat(probabilities).to(at::kDouble);
  const int64_t E = all.size(1);
  const at::Tensor share_E =
      at::bincount(at::cat(chosen).flatten(), {}, E).to(at::kDouble) / all.size(0);
  return (static_cast<double>(E) * at::dot(share_E, all.mean(0))).to(at::kFloat);
}

}  // namespace lathe
