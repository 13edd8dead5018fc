#pragma once

#include <cstdint>
#include <type_traits>

// One pass over rows of memory, on the calling thread: what ATen would do in five to ten passes.
// Storage is float or bfloat16, arithmetic is float. One source (rows.inl), compiled for each
// instruction set; row_kernels() is the best that this machine can run. Knows no tensors: the
// callers cut the rows among threads, always so that the result does not depend on their number.
namespace lathe {

// Not c10::BFloat16: a file with flags of its own must not emit another library's inline functions.
struct Bf16 {
  uint16_t bits;
};

// How attention turns products into scores: softcap * tanh(scale * product / softcap), or without
// the cap where it is 0. A token sees itself and what is before it, at most `window` tokens in all
// where that is not 0. An aggregate, for the same reason.
struct Scoring {
  double scale = 1;
  int64_t window = 0;
  double softcap = 0;
};

// Rows of x and y lie their strides apart, those of w `width`.
struct TileShape {
  int64_t tokens, outputs, width, x_stride, y_stride;
};

template <typename T>
struct RowKernels {
  // sum = x + delta, y = sum * rstd * (offset + weight), with rstd = 1 / sqrt(mean(sum^2) + eps).
  // delta may be null: then sum is x and is not written.
  void (*rms_norm)(T* y, T* sum, float* rstd, const T* x, const T* delta, const T* weight,
                   int64_t rows, int64_t width, float eps, float offset);
  // dx = the norm's input gradient + dsum (may be null); dweight[width] is added into.
  void (*rms_norm_backward)(T* dx, float* dweight, const T* dy, const T* dsum, const T* x,
                            const float* rstd, const T* weight, int64_t rows, int64_t width,
                            float offset);
  // y[r, h] = x[r, h] turned by the angles of row r, halves apart (Hugging Face's rotate-half).
  // cos, sin: [rows, half]. A head has `width` elements; those beyond 2 * half are copied.
  // direction -1 turns back.
  void (*rotate)(T* y, const T* x, const float* cos, const float* sin, int64_t rows, int64_t heads,
                 int64_t width, int64_t half, float direction);
  void (*swiglu)(T* y, const T* gate, const T* up, int64_t n);
  void (*swiglu_backward)(T* dgate, T* dup, const T* dy, const T* gate, const T* up, int64_t n);
  // y = gelu(gate) * up in the tanh form; up (and then dup) may be null: then y = gelu(gate).
  void (*geglu)(T* y, const T* gate, const T* up, int64_t n);
  void (*geglu_backward)(T* dgate, T* dup, const T* dy, const T* gate, const T* up, int64_t n);
  // x = cap * tanh(x / cap), in place; dx *= the slope, from the capped values.
  void (*softcap)(T* x, int64_t n, float cap);
  void (*softcap_backward)(T* dx, const T* capped, int64_t n, float cap);
  // lse = log sum exp of the row, picked = logits[target] - lse, or -lse for a target below 0.
  void (*log_softmax_pick)(float* picked, float* lse, const T* logits, const int64_t* targets,
                           int64_t rows, int64_t width);
  // dlogits = dpicked * (one_hot(target) - exp(logits - lse)), one_hot(-1) = 0; may be in place.
  void (*log_softmax_pick_backward)(T* dlogits, const T* logits, const float* lse,
                                    const float* dpicked, const int64_t* targets, int64_t rows,
                                    int64_t width);
  // y[t, o] = sum of x[t] * w[o], by one sum each.
  void (*dot_products)(float* y, const T* x, const T* w, const TileShape& shape);
  // sums[width] += the sum of weights[r] * x[r], rows of `width`, one after another.
  void (*add_weighted)(float* sums, const float* weights, const T* x, int64_t rows, int64_t width);
  void (*narrow)(T* y, const float* x, int64_t n);
  // The largest number of each `stretch` of x, or NaN where it has one.
  void (*peaks)(float* most, const T* x, int64_t n, int64_t stretch);
  // y = e^(x / divisor - shift), to 2 ulp of the power; below e^-87 it is 0.
  void (*exponentials)(float* y, const T* x, int64_t n, float divisor, float shift);
  // sum[rows] of a * b, rows of width that lie `stride` apart.
  void (*dot_rows)(float* sum, const T* a, const T* b, int64_t rows, int64_t stride, int64_t width);
  // y[t, o] = sum of x[t] * w[o], rows of y lying y_stride apart, those of x and w `width`. For few
  // tokens: each weight is read once from memory and widened on the way.
  void (*thin_product)(float* y, const float* x, const T* w, int64_t tokens, int64_t outputs,
                       int64_t width, int64_t y_stride);
};

// The softmax inside attention, on a block of scores [rows, keys] whose row r sees its first
// visible + r keys, less those that have left its window.
struct ScoreKernels {
  // scores -> probabilities, 0 where the row does not see; lse[r] = log sum exp of what
  // `scoring` makes of them.
  void (*softmax)(float* scores, float* lse, int64_t rows, int64_t keys, int64_t visible,
                  const Scoring& scoring);
  // scores -> probabilities as above; dprobabilities -> dscores. delta[r] = sum of dout * out of
  // the row.
  void (*softmax_backward)(float* scores, float* dprobabilities, const float* lse,
                           const float* delta, int64_t rows, int64_t keys, int64_t visible,
                           const Scoring& scoring);
};

enum class Simd { kPlain, kAvx2, kAvx512 };

bool has_simd(Simd simd);
// The kernels of one instruction set; the caller has asked has_simd.
template <typename T>
const RowKernels<T>& row_kernels(Simd simd);
// The best of this machine.
template <typename T>
const RowKernels<T>& row_kernels();

const ScoreKernels& score_kernels(Simd simd);
const ScoreKernels& score_kernels();

}  // namespace lathe
