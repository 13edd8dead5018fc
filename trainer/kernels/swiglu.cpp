#include "trainer/kernels/swiglu.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kGrain = 8192;

at::Tensor forward_rows(const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor y = at::empty_like(gate);
  with_row_type(gate.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(gate, gate.numel(), kGrain, [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(gate).swiglu(rows_of<T>(y) + begin, rows_of<T>(gate) + begin,
                              rows_of<T>(up) + begin, end - begin);
    });
  });
  return y;
}

at::Tensor forward_plain(const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor wide = gate.to(accumulate_type(gate.scalar_type()));
  return (wide * wide.sigmoid() * up).to(gate.scalar_type());
}

variable_list backward_rows(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
  with_row_type(gate.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(gate, gate.numel(), kGrain, [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(gate).swiglu_backward(rows_of<T>(dgate) + begin, rows_of<T>(dup) + begin,
                                       rows_of<T>(dy) + begin, rows_of<T>(gate) + begin,
                                       rows_of<T>(up) + begin, end - begin);
    });
  });
  return {dgate, dup};
}

variable_list backward_plain(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor g = gate.to(accumulate_type(gate.scalar_type()));
  const at::Tensor s = g.sigmoid(), d = dy.to(g.scalar_type());
  return {(d * up * s * (1 + g * (1 - s))).to(gate.scalar_type()),
          (d * g * s).to(up.scalar_type())};
}

struct SwigluFunction : torch::autograd::Function<SwigluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up,
                            Path path) {
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

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up, Path path) {
  if (!at::GradMode::is_enabled()) {
    return (use_rows(gate, path) ? forward_rows : forward_plain)(gate.contiguous(),
                                                                 up.contiguous());
  }
  return SwigluFunction::apply(gate.contiguous(), up.contiguous(), path);
}

}  // namespace lathe
