#include "trainer/kernels/product.h"

namespace lathe {

at::Tensor& gradient_sum(Parameter& parameter) {
  if (!parameter.grad.defined()) {
    throw std::logic_error("parameter " + parameter.name +
                           " is trained but has no gradient tensor: make a Sharding first");
  }
  return parameter.grad;
}

at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI) {
  return at::mm(x_TI, weight_OI.t());
}

at::Tensor product_back(const at::Tensor& dy_TO, const at::Tensor& weight_OI, at::Tensor into_TI) {
  if (!into_TI.defined()) return at::mm(dy_TO, weight_OI);
  return into_TI.addmm_(dy_TO, weight_OI);
}

void add_outer(at::Tensor& grad_OI, const at::Tensor& dy_TO, const at::Tensor& x_TI) {
  if (dy_TO.scalar_type() == grad_OI.scalar_type()) {
    grad_OI.addmm_(dy_TO.t(), x_TI);
  } else {
    // mm sums in float32 inside and rounds once; micro-batches are then summed without rounding to
    // 16 bits.
    grad_OI.add_(at::mm(dy_TO.t(), x_TI));
  }
}

}  // namespace lathe
