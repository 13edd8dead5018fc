#include "trainer/models/recompute.h"

#include <functional>

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using Segment = std::function<variable_list(const variable_list&)>;

// How a function travels in the graph.
struct SegmentHolder : torch::CustomClassHolder {
  explicit SegmentHolder(Segment run) : run(std::move(run)) {}
  Segment run;
};

// The leaf is an input only so that the graph exists when the others need no gradient.
struct SegmentFunction : torch::autograd::Function<SegmentFunction> {
  static variable_list forward(AutogradContext* ctx, at::TensorList inputs,
                               const std::optional<at::Tensor>&, const Segment& segment) {
    const variable_list given = inputs.vec();
    ctx->save_for_backward(given);
    ctx->set_materialize_grads(false);
    ctx->saved_data["segment"] =
        c10::IValue::make_capsule(c10::make_intrusive<SegmentHolder>(segment));
    c10::List<bool> needs;
    for (const at::Tensor& input : given) needs.push_back(input.requires_grad());
    ctx->saved_data["needs"] = needs;
    return segment(given);
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const c10::List<bool> needs = ctx->saved_data["needs"].toBoolList();
    variable_list inputs;
    for (const at::Tensor& saved : ctx->get_saved_variables()) {
      inputs.push_back(saved.detach().set_requires_grad(needs.get(inputs.size())));
    }
    const auto holder =
        c10::static_intrusive_pointer_cast<SegmentHolder>(ctx->saved_data["segment"].toCapsule());
    const at::AutoGradMode with_graph(true);
    const variable_list outputs = holder->run(inputs);
    variable_list roots, gradients;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!dy[i].defined() || !outputs[i].requires_grad()) continue;
      roots.push_back(outputs[i]);
      gradients.push_back(dy[i]);
    }
    torch::autograd::backward(roots, gradients);
    variable_list result;
    for (const at::Tensor& input : inputs) result.push_back(input.grad());
    result.resize(inputs.size() + 2);
    return result;
  }
};

// A weight of the block that is trained.
std::optional<at::Tensor> trained_leaf(Block& block) {
  std::vector<Parameter*> parameters;
  block.list(parameters);
  std::vector<LinearLayer*> linears;
  block.list_linears(linears);
  for (LinearLayer* layer : linears) layer->list_adapter(parameters);
  for (const Parameter* parameter : parameters) {
    if (parameter->trained) return parameter->value;
  }
  return std::nullopt;
}

variable_list again(const variable_list& inputs, const std::optional<at::Tensor>& leaf,
                    const Segment& segment) {
  return SegmentFunction::apply(at::TensorList(inputs), leaf, segment);
}

variable_list defined_of(const Residual& residual) {
  if (!residual.delta_TH.defined()) return {residual.x_TH};
  return {residual.x_TH, residual.delta_TH};
}

Residual residual_of(const variable_list& tensors) {
  return {tensors[0], tensors.size() > 1 ? tensors[1] : at::Tensor()};
}

}  // namespace

void run_again_in_backward(Block& block, Residual& residual,
                           const std::shared_ptr<const Documents>& documents, int64_t layer,
                           Checkpointing mode, Heads* shown) {
  const std::optional<at::Tensor> leaf = trained_leaf(block);
  if (mode == Checkpointing::kBlock) {
    const bool shows = shown != nullptr;
    const variable_list done =
        again(defined_of(residual), leaf, [=, &block](const variable_list& in) {
          Residual r = residual_of(in);
          const Heads heads = block.begin(r, *documents);
          block.finish(r, block.attend(heads, *documents, layer), *documents);
          return shows ? variable_list{r.x_TH, r.delta_TH, heads.q_TQD, heads.k_TKD}
                       : variable_list{r.x_TH, r.delta_TH};
        });
    residual = residual_of(done);
    if (shows) *shown = {done[2], done[3], {}};
    return;
  }
  const variable_list begun =
      again(defined_of(residual), leaf, [=, &block](const variable_list& in) {
        Residual r = residual_of(in);
        const Heads heads = block.begin(r, *documents);
        return variable_list{r.x_TH, heads.q_TQD, heads.k_TKD, heads.v_TKD.contiguous()};
      });
  if (shown != nullptr) *shown = {begun[1], begun[2], {}};
  const at::Tensor attended = block.attend({begun[1], begun[2], begun[3]}, *documents, layer);
  residual = residual_of(again({begun[0], attended}, leaf, [=, &block](const variable_list& in) {
    Residual r{in[0], {}};
    block.finish(r, in[1], *documents);
    return variable_list{r.x_TH, r.delta_TH};
  }));
}

}  // namespace lathe
