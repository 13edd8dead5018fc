#include "trainer/kernels/rotary.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor turn_rows(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                     double direction) {
  at::Tensor y = at::empty_like(x);
  const int64_t rows = x.size(0), heads = x.size(1), half = cos.size(1), width = heads * x.size(2);
  with_row_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    for_rows_of(x, rows, grain_rows(width), [&](int64_t begin, int64_t end) {
      row_kernels_for<T>(x).rotate(rows_of<T>(y) + begin * width, rows_of<T>(x) + begin * width,
                              rows_of<float>(cos) + begin * half,
                              rows_of<float>(sin) + begin * half, end - begin, heads, x.size(2),
                              half, static_cast<float>(direction));
    });
  });
  return y;
}

at::Tensor turn_plain(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                      double direction) {
  const int64_t half = cos.size(1);
  const std::vector<at::Tensor> halves =
      x.to(accumulate_type(x.scalar_type()))
          .split_with_sizes({half, half, x.size(2) - 2 * half}, -1);
  const at::Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1) * direction;
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s, halves[2]}, -1)
      .to(x.scalar_type());
}

struct RotaryFunction : torch::autograd::Function<RotaryFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin, Path path) {
    const bool rows = use_rows(x, path);
    ctx->save_for_backward({cos, sin});
    ctx->saved_data["rows"] = rows;
    return (rows ? turn_rows : turn_plain)(x, cos, sin, 1);
  }
  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    const auto turn = ctx->saved_data["rows"].toBool() ? turn_rows : turn_plain;
    return {turn(dy[0].contiguous(), saved[0], saved[1], -1), {}, {}, {}};
  }
};

}  // namespace

at::Tensor rotary(const at::Tensor& x_TND, const at::Tensor& cos, const at::Tensor& sin,
                  Path path) {
  if (!at::GradMode::is_enabled()) {
    return (use_rows(x_TND, path) ? turn_rows : turn_plain)(x_TND.contiguous(), cos.contiguous(),
                                                            sin.contiguous(), 1);
  }
  return RotaryFunction::apply(x_TND.contiguous(), cos.contiguous(), sin.contiguous(), path);
}

}  // namespace lathe
