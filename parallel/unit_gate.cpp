#include "parallel/unit_gate.h"

#include <torch/csrc/autograd/custom_function.h>

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct GateFunction : torch::autograd::Function<GateFunction> {
  static variable_list forward(AutogradContext* ctx, at::TensorList tensors, Sharding* sharding,
                               int64_t unit, bool begins, bool values) {
    ctx->saved_data["sharding"] = reinterpret_cast<int64_t>(sharding);
    ctx->saved_data["unit"] = unit;
    ctx->saved_data["begins"] = begins;
    ctx->saved_data["values"] = values;
    ctx->set_materialize_grads(false);
    variable_list outputs;
    for (const at::Tensor& tensor : tensors) outputs.push_back(tensor.view_as(tensor));
    return outputs;
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    auto& sharding = *reinterpret_cast<Sharding*>(ctx->saved_data["sharding"].toInt());
    const auto unit = static_cast<int>(ctx->saved_data["unit"].toInt());
    if (ctx->saved_data["begins"].toBool()) {
      sharding.begin_backward(unit, ctx->saved_data["values"].toBool());
    } else {
      sharding.end_backward(unit);
    }
    dy.resize(dy.size() + 4);
    return dy;
  }
};

}  // namespace

std::vector<at::Tensor> into_unit(Sharding* sharding, int unit, std::vector<at::Tensor> inputs) {
  if (sharding == nullptr || sharding->num_units() == 0) return inputs;
  sharding->begin_forward(unit);
  return GateFunction::apply(at::TensorList(inputs), sharding, int64_t{unit}, false, false);
}

std::vector<at::Tensor> out_of_unit(Sharding* sharding, int unit, std::vector<at::Tensor> outputs,
                                    bool values) {
  if (sharding == nullptr || sharding->num_units() == 0) return outputs;
  sharding->end_forward(unit);
  return GateFunction::apply(at::TensorList(outputs), sharding, int64_t{unit}, true, values);
}

}  // namespace lathe
