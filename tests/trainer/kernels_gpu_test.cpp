#include "tests/trainer/kernel_check.h"
#include "trainer/kernels/geglu.h"
#include "trainer/kernels/head.h"
#include "trainer/kernels/norm.h"
#include "trainer/kernels/rotary.h"
#include "trainer/kernels/rows_cuda.h"
#include "trainer/kernels/swiglu.h"

namespace lathe {
namespace {

constexpr int64_t kTokens = 3, kWidth = 301;

// Outputs and gradients of everything that has a kernel.
std::vector<at::Tensor> run_all(at::Device device, at::ScalarType type, Path path) {
  const auto on_device = [&](at::IntArrayRef shape, uint64_t seed, double scale = 1) {
    return (random_tensor(shape, at::kDouble, seed) * scale)
        .to(type)
        .to(device)
        .set_requires_grad(true);
  };
  const auto parameter = [&](at::IntArrayRef shape, uint64_t seed) {
    Parameter p = random_parameter("w", shape, type, seed);
    p.value = p.value.detach().to(device).set_requires_grad(true);
    p.grad = p.grad.to(device);
    return p;
  };
  Parameter norm = parameter({kWidth}, 1), head = parameter({97, kWidth}, 2);
  at::Tensor x = on_device({kTokens, kWidth}, 3), delta = on_device({kTokens, kWidth}, 4),
             gate = on_device({kTokens, kWidth}, 5, 4), turned = on_device({kTokens, 3, 14}, 6);
  const auto [sum, y] = add_rms_norm(x, delta, norm, RmsNorm(1e-5), path);
  const at::Tensor glu = swiglu(gate, y, path) + geglu(gate, y, path);
  const at::Tensor angle = (random_tensor({kTokens, 7}, at::kFloat, 7) * 10).to(device);
  const at::Tensor rotated = rotary(turned, angle.cos(), angle.sin(), path);
  const at::Tensor targets = at::tensor({int64_t{96}, int64_t{0}, int64_t{7}}).to(device);
  HeadOptions options;
  options.softcap = 5;
  options.path = path;
  const at::Tensor log_probs = head_log_probs(glu + sum, head, targets, options);
  (log_probs.sum() + rotated.square().sum()).backward();
  return std::vector<at::Tensor>{sum,           y,         glu,          rotated,
                                 log_probs,     x.grad(),  delta.grad(), gate.grad(),
                                 turned.grad(), norm.grad, head.grad};
}

TEST(GpuRows, ComputeWhatAtenComputes) {
  if (!has_cuda_rows() || !at::hasCUDA())
    GTEST_SKIP() << "NOT RUN: no CUDA kernels in this build, or no GPU";
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const std::vector<at::Tensor> found = run_all(at::kCUDA, type, Path::kBest),
                                  expected = run_all(at::kCPU, type, Path::kPlain);
    for (size_t i = 0; i < found.size(); ++i)
      EXPECT_LT(difference(found[i].cpu(), expected[i]), 3 * tolerance(type))
          << "value " << i << " in " << c10::toString(type);
  }
}

}  // namespace
}  // namespace lathe
