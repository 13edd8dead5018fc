#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "parallel/parameter.h"

// What the tests of the kernels share: random parameters with a gradient to add into, and
// comparisons.
namespace lathe {

inline at::Tensor random_tensor(at::IntArrayRef shape, at::ScalarType type, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::TensorOptions(at::kDouble)).to(type);
}

inline Parameter random_parameter(const std::string& name, at::IntArrayRef shape,
                                  at::ScalarType type, uint64_t seed) {
  Parameter p{name, random_tensor(shape, type, seed).set_requires_grad(true), {}, true};
  p.grad = at::zeros(shape, type == at::kDouble ? at::kDouble : at::kFloat);
  return p;
}

// Largest difference, relative to the largest value expected.
inline double difference(const at::Tensor& got, const at::Tensor& expected) {
  EXPECT_EQ(got.sizes(), expected.sizes());
  if (expected.numel() == 0) return 0;
  const at::Tensor g = got.detach().to(at::kDouble), e = expected.detach().to(at::kDouble);
  const double scale = std::max(e.abs().max().item<double>(), 1e-12);
  const double worst = (g - e).abs().max().item<double>();
  return std::isfinite(worst) ? worst / scale : INFINITY;
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) { return at::equal(a, b); }

// float64 is compared to rounding, float32 and bfloat16 to a few times theirs.
inline double tolerance(at::ScalarType type) {
  return type == at::kDouble ? 1e-12 : type == at::kFloat ? 1e-5 : 1.5e-2;
}

}  // namespace lathe
