#include "trainer/kernels/geglu.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kGrain = 8192;

// Null where there is no `up`.
template <typename T>
T* rows_from(const at::Tensor& x, int64_t begin) {
  T* rows = rows_of<T>(x);
  return rows == nullptr ? nullptr : rows + begin;
}

at::Tensor forward_rows(const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor y = at::empty_like(gate);
  with_row_type(gate.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(gate, gate.numel(), kGrain, [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(gate).geglu(rows_of<T>(y) + begin, rows_of<T>(gate) + begin,
                             rows_from<T>(up, begin), end - begin);
    });
  });
  return y;
}

at::Tensor forward_plain(const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor y = at::gelu(gate.to(accumulate_type(gate.scalar_type())), "tanh");
  return (up.defined() ? y * up : y).to(gate.scalar_type());
}

variable_list backward_rows(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor dgate = at::empty_like(gate);
  at::Tensor dup = up.defined() ? at::empty_like(up) : at::Tensor();
  with_row_type(gate.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(gate, gate.numel(), kGrain, [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(gate).geglu_backward(rows_of<T>(dgate) + begin, rows_from<T>(dup, begin),
                                      rows_of<T>(dy) + begin, rows_of<T>(gate) + begin,
                                      rows_from<T>(up, begin), end - begin);
    });
  });
  return {dgate, dup};
}

variable_list backward_plain(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor g = gate.to(accumulate_type(gate.scalar_type())), d = dy.to(g.scalar_type());
  const at::Tensor dgelu = up.defined() ? d * up : d;
  return {at::gelu_backward(dgelu, g, "tanh").to(gate.scalar_type()),
          up.defined() ? (d * at::gelu(g, "tanh")).to(up.scalar_type()) : at::Tensor()};
}

struct GegluFunction : torch::autograd::Function<GegluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate,
                            const std::optional<at::Tensor>& given_up, Path path) {
    const at::Tensor up = given_up.value_or(at::Tensor());
    const bool rows = use_rows(gate, path);
    ctx->save_for_backward({gate, up});
    ctx->saved_data["rows"] = rows;
    return rows ? forward_rows(gate, up) : forward_plain(gate, up);
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    const auto backward = ctx->saved_data["rows"].toBool() ? backward_rows : backward_plain;
    variable_list gradients = backward(dy[0].contiguous(), saved[0], saved[1]);
    gradients.emplace_back();
    return gradients;
  }
};

}  // namespace

at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up, Path path) {
  return GegluFunction::apply(gate.contiguous(), std::optional(up.contiguous()), path);
}

at::Tensor gelu(const at::Tensor& x, Path path) {
  return GegluFunction::apply(x.contiguous(), std::optional<at::Tensor>(), path);
}

}  // namespace lathe
