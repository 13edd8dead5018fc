// The body of rows_cuda.cu: kernels and the table of their launches. It wants CUDA's words and
// launch(kernel, blocks, arguments...), so that tests/trainer/kernels_cuda_test.cpp can run it on
// host threads. A block of kThreads has a row, or kThreads elements.
#include <cmath>
#include <cstdint>

#include "trainer/kernels/rows.h"

namespace lathe {
namespace {

constexpr int kThreads = 256;

__device__ inline float load(const float* p) { return *p; }
__device__ inline float load(const Bf16* p) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(p->bits) << 16);
}
__device__ inline void store(float* p, float value) { *p = value; }
// Rounds to nearest, ties to even; NaN stays NaN.
__device__ inline void store(Bf16* p, float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  p->bits = static_cast<uint16_t>(value == value ? rounded : 0x7fc0);
}

__device__ inline float sigmoid_of(float x) { return 1.0f / (1.0f + expf(-x)); }

// What all threads of the block gave, joined in a fixed order; all get it.
template <typename Join>
__device__ inline float join_block(float value, const Join& join) {
  __shared__ float parts[kThreads];
  const int t = static_cast<int>(threadIdx.x);
  parts[t] = value;
  __syncthreads();
  for (int reach = kThreads / 2; reach > 0; reach /= 2) {
    if (t < reach) parts[t] = join(parts[t], parts[t + reach]);
    __syncthreads();
  }
  const float joined = parts[0];
  __syncthreads();  // parts may be written again
  return joined;
}
__device__ inline float sum_of_block(float value) {
  return join_block(value, [](float a, float b) { return a + b; });
}
__device__ inline float max_of_block(float value) {
  return join_block(value, [](float a, float b) { return a > b ? a : b; });
}

// work(i) for this thread's elements of a row that its block has.
template <typename Work>
__device__ inline void for_row(int64_t width, const Work& work) {
  for (int64_t i = threadIdx.x; i < width; i += kThreads) work(i);
}
// The element of a thread where all threads share n of them; beyond n: none.
__device__ inline int64_t element() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

template <typename T>
__global__ void norm_kernel(T* y, T* sum, float* rstd, const T* x, const T* delta, const T* weight,
                            int64_t width, float eps, float offset) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * width;
  const T* in = delta != nullptr ? sum : x;
  float squares = 0;
  for_row(width, [&](int64_t i) {
    if (delta != nullptr) store(sum + at + i, load(x + at + i) + load(delta + at + i));
    const float value = load(in + at + i);
    squares += value * value;
  });
  const float scale = 1.0f / sqrtf(sum_of_block(squares) / static_cast<float>(width) + eps);
  if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
  for_row(width, [&](int64_t i) {
    store(y + at + i, load(in + at + i) * scale * (offset + load(weight + i)));
  });
}

template <typename T>
__global__ void norm_backward_kernel(T* dx, const T* dy, const T* dsum, const T* x,
                                     const float* rstd, const T* weight, int64_t width,
                                     float offset) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * width;
  const float scale = rstd[blockIdx.x];
  float dot = 0;
  for_row(width, [&](int64_t i) {
    dot += load(dy + at + i) * load(x + at + i) * (offset + load(weight + i));
  });
  const float pull = sum_of_block(dot) * scale * scale * scale / static_cast<float>(width);
  for_row(width, [&](int64_t i) {
    const float d = load(dy + at + i) * (offset + load(weight + i));
    const float also = dsum != nullptr ? load(dsum + at + i) : 0.0f;
    store(dx + at + i, also + d * scale - load(x + at + i) * pull);
  });
}

// A block sums kColumns columns: its threads take every kLanes-th row, and the lanes are joined.
constexpr int kColumns = 32, kLanes = kThreads / kColumns;

template <typename T>
__global__ void norm_weight_kernel(float* dweight, const T* dy, const T* x, const float* rstd,
                                   int64_t rows, int64_t width) {
  __shared__ float parts[kThreads];
  const int t = static_cast<int>(threadIdx.x), lane = t / kColumns;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumns + t % kColumns;
  float sum = 0;
  if (column < width) {
    for (int64_t r = lane; r < rows; r += kLanes)
      sum += load(dy + r * width + column) * load(x + r * width + column) * rstd[r];
  }
  parts[t] = sum;
  __syncthreads();
  if (lane > 0 || column >= width) return;
  for (int other = 1; other < kLanes; ++other) sum += parts[other * kColumns + t];
  dweight[column] += sum;
}

template <typename T>
__global__ void rotate_kernel(T* y, const T* x, const float* cos, const float* sin, int64_t heads,
                              int64_t width, int64_t half, float direction) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * heads * width;
  const float *c = cos + blockIdx.x * half, *s = sin + blockIdx.x * half;
  for_row(heads * width, [&](int64_t i) {
    const int64_t place = i % width;
    const T* from = x + at + i;
    if (place < half) {
      store(y + at + i, load(from) * c[place] - load(from + half) * (direction * s[place]));
    } else if (place < 2 * half) {
      const int64_t pair = place - half;
      store(y + at + i, load(from) * c[pair] + load(from - half) * (direction * s[pair]));
    } else {
      y[at + i] = *from;
    }
  });
}

template <typename T>
__global__ void swiglu_kernel(T* y, const T* gate, const T* up, int64_t n) {
  const int64_t i = element();
  if (i >= n) return;
  const float g = load(gate + i);
  store(y + i, g * sigmoid_of(g) * load(up + i));
}

template <typename T>
__global__ void swiglu_backward_kernel(T* dgate, T* dup, const T* dy, const T* gate, const T* up,
                                       int64_t n) {
  const int64_t i = element();
  if (i >= n) return;
  const float g = load(gate + i), d = load(dy + i), s = sigmoid_of(g);
  store(dup + i, d * g * s);
  store(dgate + i, d * load(up + i) * s * (1.0f + g * (1.0f - s)));
}

// gelu(x) = x * sigmoid(z), z = 2 sqrt(2 / pi) (x + 0.044715 x^3): Hendrycks and Gimpel 2016.
__device__ inline float gelu_gate_of(float x) {
  return sigmoid_of(1.5957691216057308f * (x + 0.044715f * x * x * x));
}

template <typename T>
__global__ void geglu_kernel(T* y, const T* gate, const T* up, int64_t n) {
  const int64_t i = element();
  if (i >= n) return;
  const float g = load(gate + i), u = up != nullptr ? load(up + i) : 1.0f;
  store(y + i, g * gelu_gate_of(g) * u);
}

template <typename T>
__global__ void geglu_backward_kernel(T* dgate, T* dup, const T* dy, const T* gate, const T* up,
                                      int64_t n) {
  const int64_t i = element();
  if (i >= n) return;
  const float g = load(gate + i), s = gelu_gate_of(g), d = load(dy + i);
  const float dz = 1.5957691216057308f * (1.0f + 0.134145f * g * g);
  const float u = up != nullptr ? load(up + i) : 1.0f;
  store(dgate + i, d * u * (s + g * s * (1.0f - s) * dz));
  if (dup != nullptr) store(dup + i, d * g * s);
}

template <typename T>
__global__ void softcap_kernel(T* x, int64_t n, float cap) {
  const int64_t i = element();
  if (i < n) store(x + i, cap * tanhf(load(x + i) / cap));
}

template <typename T>
__global__ void softcap_backward_kernel(T* dx, const T* capped, int64_t n, float cap) {
  const int64_t i = element();
  if (i >= n) return;
  const float t = load(capped + i) / cap;
  store(dx + i, load(dx + i) * (1.0f - t * t));
}

template <typename T>
__global__ void pick_kernel(float* picked, float* lse, const T* logits, const int64_t* targets,
                            int64_t width) {
  const T* row = logits + static_cast<int64_t>(blockIdx.x) * width;
  float top = -INFINITY, total = 0;
  for_row(width, [&](int64_t i) { top = fmaxf(top, load(row + i)); });
  top = max_of_block(top);
  for_row(width, [&](int64_t i) { total += expf(load(row + i) - top); });
  total = sum_of_block(total);
  if (threadIdx.x > 0) return;
  const int64_t target = targets[blockIdx.x];
  lse[blockIdx.x] = top + logf(total);
  picked[blockIdx.x] = (target < 0 ? 0.0f : load(row + target)) - lse[blockIdx.x];
}

template <typename T>
__global__ void pick_backward_kernel(T* dlogits, const T* logits, const float* lse,
                                     const float* dpicked, const int64_t* targets, int64_t width) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * width, target = targets[blockIdx.x];
  const float d = dpicked[blockIdx.x], shift = lse[blockIdx.x];
  for_row(width, [&](int64_t i) {
    store(dlogits + at + i,
          d * ((i == target ? 1.0f : 0.0f) - expf(load(logits + at + i) - shift)));
  });
}

inline int64_t blocks_of(int64_t n, int64_t each = kThreads) { return (n + each - 1) / each; }

template <typename T>
struct Launches {
  static void rms_norm(T* y, T* sum, float* rstd, const T* x, const T* delta, const T* weight,
                       int64_t rows, int64_t width, float eps, float offset) {
    launch(norm_kernel<T>, rows, y, sum, rstd, x, delta, weight, width, eps, offset);
  }
  static void rms_norm_backward(T* dx, float* dweight, const T* dy, const T* dsum, const T* x,
                                const float* rstd, const T* weight, int64_t rows, int64_t width,
                                float offset) {
    launch(norm_backward_kernel<T>, rows, dx, dy, dsum, x, rstd, weight, width, offset);
    launch(norm_weight_kernel<T>, blocks_of(width, kColumns), dweight, dy, x, rstd, rows, width);
  }
  static void rotate(T* y, const T* x, const float* cos, const float* sin, int64_t rows,
                     int64_t heads, int64_t width, int64_t half, float direction) {
    launch(rotate_kernel<T>, rows, y, x, cos, sin, heads, width, half, direction);
  }
  static void swiglu(T* y, const T* gate, const T* up, int64_t n) {
    launch(swiglu_kernel<T>, blocks_of(n), y, gate, up, n);
  }
  static void swiglu_backward(T* dgate, T* dup, const T* dy, const T* gate, const T* up,
                              int64_t n) {
    launch(swiglu_backward_kernel<T>, blocks_of(n), dgate, dup, dy, gate, up, n);
  }
  static void geglu(T* y, const T* gate, const T* up, int64_t n) {
    launch(geglu_kernel<T>, blocks_of(n), y, gate, up, n);
  }
  static void geglu_backward(T* dgate, T* dup, const T* dy, const T* gate, const T* up, int64_t n) {
    launch(geglu_backward_kernel<T>, blocks_of(n), dgate, dup, dy, gate, up, n);
  }
  static void softcap(T* x, int64_t n, float cap) {
    launch(softcap_kernel<T>, blocks_of(n), x, n, cap);
  }
  static void softcap_backward(T* dx, const T* capped, int64_t n, float cap) {
    launch(softcap_backward_kernel<T>, blocks_of(n), dx, capped, n, cap);
  }
  static void pick(float* picked, float* lse, const T* logits, const int64_t* targets, int64_t rows,
                   int64_t width) {
    launch(pick_kernel<T>, rows, picked, lse, logits, targets, width);
  }
  static void pick_backward(T* dlogits, const T* logits, const float* lse, const float* dpicked,
                            const int64_t* targets, int64_t rows, int64_t width) {
    launch(pick_backward_kernel<T>, rows, dlogits, logits, lse, dpicked, targets, width);
  }
};

template <typename T>
constexpr RowKernels<T> launch_table() {
  using L = Launches<T>;
  return {.rms_norm = L::rms_norm,
          .rms_norm_backward = L::rms_norm_backward,
          .rotate = L::rotate,
          .swiglu = L::swiglu,
          .swiglu_backward = L::swiglu_backward,
          .geglu = L::geglu,
          .geglu_backward = L::geglu_backward,
          .softcap = L::softcap,
          .softcap_backward = L::softcap_backward,
          .log_softmax_pick = L::pick,
          .log_softmax_pick_backward = L::pick_backward,
          .dot_products = nullptr,
          .add_weighted = nullptr,
          .narrow = nullptr,
          .peaks = nullptr,
          .exponentials = nullptr,
          .dot_rows = nullptr,
          .thin_product = nullptr};
}

}  // namespace
}  // namespace lathe
