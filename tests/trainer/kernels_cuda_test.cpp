// The kernels for GPUs, run on host threads: a block's threads are the machine's, one block after
// another. That shows what they compute, not how fast, and that no thread reads what another has
// not written yet. kernels_gpu_test.cpp runs them on a GPU.
#include <barrier>
#include <thread>

#include "tests/trainer/kernel_check.h"
#include "trainer/kernels/rows_cuda.h"

#define __global__
#define __device__
#define __shared__ static

namespace lathe {
namespace {

struct Index {
  unsigned x = 0;
};
thread_local Index threadIdx, blockIdx;
constexpr int kBlockThreads = 256;
std::barrier<> together(kBlockThreads);

void __syncthreads() { together.arrive_and_wait(); }

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, Arguments... arguments) {
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < kBlockThreads; ++t) {
    threads.emplace_back([=] {
      threadIdx.x = t;
      for (int64_t block = 0; block < blocks; ++block) {
        blockIdx.x = static_cast<unsigned>(block);
        kernel(arguments...);
        __syncthreads();
      }
    });
  }
}

}  // namespace
}  // namespace lathe

#include "trainer/kernels/rows_cuda.inl"

namespace lathe {
namespace {

static_assert(kThreads == kBlockThreads);

// Wider than a block, and no multiple of anything.
constexpr int64_t kRows = 3, kWidth = 301;

template <typename T>
at::ScalarType type_of() {
  return std::is_same_v<T, float> ? at::kFloat : at::kBFloat16;
}

template <typename T>
T* data(const at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

// What `run` makes of the same inputs with the launches and with the plain kernels of the CPU.
template <typename T, typename Run>
void expect_equal(const char* name, const Run& run) {
  const RowKernels<T> launches = launch_table<T>();
  const std::vector<at::Tensor> found = run(launches), expected = run(row_kernels<T>(Simd::kPlain));
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LT(difference(found[i], expected[i]), (std::is_same_v<T, float> ? 2e-6 : 1e-2))
        << name << " value " << i << " in " << c10::toString(type_of<T>());
  }
}

template <typename T>
void check_norms() {
  const at::ScalarType type = type_of<T>();
  const at::Tensor x = random_tensor({kRows, kWidth}, type, 1),
                   w = random_tensor({kWidth}, type, 3),
                   delta = random_tensor({kRows, kWidth}, type, 2);
  for (const bool added : {false, true}) {
    expect_equal<T>("rms_norm", [&](const RowKernels<T>& kernels) {
      const at::Tensor y = at::zeros_like(x), sum = at::zeros_like(x), rstd = at::zeros({kRows});
      kernels.rms_norm(data<T>(y), added ? data<T>(sum) : nullptr, data<float>(rstd), data<T>(x),
                       added ? data<T>(delta) : nullptr, data<T>(w), kRows, kWidth, 1e-5f, 1.0f);
      return std::vector<at::Tensor>{y, sum, rstd};
    });
    expect_equal<T>("rms_norm_backward", [&](const RowKernels<T>& kernels) {
      const at::Tensor dx = at::zeros_like(x), dw = at::ones({kWidth}),
                       dy = random_tensor({kRows, kWidth}, type, 4),
                       rstd = random_tensor({kRows}, at::kFloat, 5).abs();
      kernels.rms_norm_backward(data<T>(dx), data<float>(dw), data<T>(dy),
                                added ? data<T>(delta) : nullptr, data<T>(x), data<float>(rstd),
                                data<T>(w), kRows, kWidth, 1.0f);
      return std::vector<at::Tensor>{dx, dw};
    });
  }
}

template <typename T>
void check_elementwise() {
  const at::ScalarType type = type_of<T>();
  const int64_t n = kRows * kWidth;
  const at::Tensor gate = random_tensor({n}, type, 1) * 4, up = random_tensor({n}, type, 2),
                   dy = random_tensor({n}, type, 3);
  for (const bool gated : {false, true}) {
    expect_equal<T>("geglu", [&](const RowKernels<T>& kernels) {
      const at::Tensor y = at::zeros_like(gate), dgate = at::zeros_like(gate),
                       dup = at::zeros_like(gate);
      const T* u = gated ? data<T>(up) : nullptr;
      kernels.geglu(data<T>(y), data<T>(gate), u, n);
      kernels.geglu_backward(data<T>(dgate), gated ? data<T>(dup) : nullptr, data<T>(dy),
                             data<T>(gate), u, n);
      return std::vector<at::Tensor>{y, dgate, dup};
    });
  }
  expect_equal<T>("swiglu", [&](const RowKernels<T>& kernels) {
    const at::Tensor y = at::zeros_like(gate), dgate = at::zeros_like(gate),
                     dup = at::zeros_like(gate);
    kernels.swiglu(data<T>(y), data<T>(gate), data<T>(up), n);
    kernels.swiglu_backward(data<T>(dgate), data<T>(dup), data<T>(dy), data<T>(gate), data<T>(up),
                            n);
    return std::vector<at::Tensor>{y, dgate, dup};
  });
  expect_equal<T>("softcap", [&](const RowKernels<T>& kernels) {
    const at::Tensor capped = gate.clone(), dx = dy.clone();
    kernels.softcap(data<T>(capped), n, 3.0f);
    kernels.softcap_backward(data<T>(dx), data<T>(up), n, 3.0f);
    return std::vector<at::Tensor>{capped, dx};
  });
}

template <typename T>
void check_rotation() {
  constexpr int64_t kHeads = 3, kHead = 14, kHalf = 5;  // the last four of a head are not turned
  const at::Tensor x = random_tensor({kRows, kHeads * kHead}, type_of<T>(), 1),
                   angle = random_tensor({kRows, kHalf}, at::kFloat, 2) * 10, cos = angle.cos(),
                   sin = angle.sin();
  for (const float direction : {1.0f, -1.0f}) {
    expect_equal<T>("rotate", [&](const RowKernels<T>& kernels) {
      const at::Tensor y = at::zeros_like(x);
      kernels.rotate(data<T>(y), data<T>(x), data<float>(cos), data<float>(sin), kRows, kHeads,
                     kHead, kHalf, direction);
      return std::vector<at::Tensor>{y};
    });
  }
}

template <typename T>
void check_cross_entropy() {
  const at::Tensor logits = random_tensor({kRows, kWidth}, type_of<T>(), 1) * 6,
                   dpicked = random_tensor({kRows}, at::kFloat, 2);
  const at::Tensor targets = at::tensor({int64_t{300}, int64_t{-1}, int64_t{7}});
  expect_equal<T>("log_softmax_pick", [&](const RowKernels<T>& kernels) {
    const at::Tensor picked = at::zeros({kRows}), lse = at::zeros({kRows}),
                     in_place = logits.clone();
    kernels.log_softmax_pick(data<float>(picked), data<float>(lse), data<T>(logits),
                             data<int64_t>(targets), kRows, kWidth);
    kernels.log_softmax_pick_backward(data<T>(in_place), data<T>(in_place), data<float>(lse),
                                      data<float>(dpicked), data<int64_t>(targets), kRows, kWidth);
    return std::vector<at::Tensor>{picked, lse, in_place};
  });
}

TEST(CudaRows, ComputeOnHostThreadsWhatTheCpusKernelsCompute) {
  check_norms<float>();
  check_norms<Bf16>();
  check_elementwise<float>();
  check_elementwise<Bf16>();
  check_rotation<float>();
  check_rotation<Bf16>();
  check_cross_entropy<float>();
  check_cross_entropy<Bf16>();
}

}  // namespace
}  // namespace lathe
