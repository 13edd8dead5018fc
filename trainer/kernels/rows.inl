// The body of rows.h, included once per instruction set; everything has internal linkage, so that the versions cannot be
// mixed up by the linker. Written so that the compiler vectorises each inner loop.
namespace lathe {
namespace {

inline float load(const float* p) { return *p; }
inline float load(const Bf16* p) { return __builtin_bit_cast(float, uint32_t{p->bits} << 16); }
inline void store(float* p, float value) { *p = value; }
// Rounds to nearest, ties to even; NaN stays NaN.
inline void store(Bf16* p, float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  p->bits = static_cast<uint16_t>(value == value ? rounded : 0x7fc0);
}

// e^x to 2 ulp; below -87 it is 0. Cody-Waite reduction and a polynomial of degree 6 (Cephes' coefficients).
inline float exp_of(float x) {
  const float clamped = x < -87.0f ? -87.0f : (x > 88.72283f ? 88.72283f : x);
  const float shifted = clamped * 1.44269504088896341f + 12582912.0f;  // the rounding is in the low bits
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t exponent = __builtin_bit_cast(int32_t, shifted) << 23;
  const float result = __builtin_bit_cast(float, __builtin_bit_cast(int32_t, p) + exponent);
  return x < -87.0f ? 0.0f : (x <= 88.72283f ? result : x * __builtin_inff());
}

inline float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }
inline float tanh_of(float x) { return 1.0f - 2.0f / (1.0f + exp_of(2.0f * x)); }

template <typename T>
void rms_norm(T* y, T* sum, float* rstd, const T* x, const T* delta, const T* weight, int64_t rows,
              int64_t width, float eps, float offset) {
  for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
    float squares = 0;
    const T* in = x;
    if (delta != nullptr) {
#pragma omp simd reduction(+ : squares)
      for (int64_t i = 0; i < width; ++i) {
        store(sum + i, load(x + i) + load(delta + i));
        const float value = load(sum + i);
        squares += value * value;
      }
      in = sum;
    } else {
#pragma omp simd reduction(+ : squares)
      for (int64_t i = 0; i < width; ++i) squares += load(x + i) * load(x + i);
    }
    const float scale = 1.0f / __builtin_sqrtf(squares / static_cast<float>(width) + eps);
    rstd[r] = scale;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      store(y + i, load(in + i) * scale * (offset + load(weight + i)));
    }
    if (delta != nullptr) {
      delta += width;
      sum += width;
    }
  }
}

template <typename T>
void rms_norm_backward(T* dx, float* dweight, const T* dy, const T* dsum, const T* x,
                       const float* rstd, const T* weight, int64_t rows, int64_t width,
                       float offset) {
  for (int64_t r = 0; r < rows; ++r, dx += width, dy += width, x += width) {
    const float scale = rstd[r];
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) {
      const float product = load(dy + i) * load(x + i);
      dot += product * (offset + load(weight + i));
      dweight[i] += product * scale;
    }
    const float pull = dot * scale * scale * scale / static_cast<float>(width);
    if (dsum != nullptr) {
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const float d = load(dy + i) * (offset + load(weight + i));
        store(dx + i, load(dsum + i) + d * scale - load(x + i) * pull);
      }
      dsum += width;
    } else {
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const float d = load(dy + i) * (offset + load(weight + i));
        store(dx + i, d * scale - load(x + i) * pull);
      }
    }
  }
}

template <typename T>
void rotate(T* y, const T* x, const float* cos, const float* sin, int64_t rows, int64_t heads,
            int64_t width, int64_t half, float direction) {
  for (int64_t r = 0; r < rows; ++r, cos += half, sin += half) {
    for (int64_t h = 0; h < heads; ++h, x += width, y += width) {
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const float a = load(x + i), b = load(x + half + i), s = direction * sin[i];
        store(y + i, a * cos[i] - b * s);
        store(y + half + i, b * cos[i] + a * s);
      }
      for (int64_t i = 2 * half; i < width; ++i) y[i] = x[i];
    }
  }
}

template <typename T>
void swiglu(T* y, const T* gate, const T* up, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float g = load(gate + i);
    store(y + i, g * sigmoid_of(g) * load(up + i));
  }
}

template <typename T>
void swiglu_backward(T* dgate, T* dup, const T* dy, const T* gate, const T* up, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float g = load(gate + i), d = load(dy + i), s = sigmoid_of(g);
    store(dup + i, d * g * s);
    store(dgate + i, d * load(up + i) * s * (1.0f + g * (1.0f - s)));
  }
}

// gelu(x) = x * sigmoid(z), z = 2 sqrt(2 / pi) (x + 0.044715 x^3): Hendrycks and Gimpel 2016.
inline float gelu_gate_of(float x) {
  return sigmoid_of(1.5957691216057308f * (x + 0.044715f * x * x * x));
}

template <typename T>
void geglu(T* y, const T* gate, const T* up, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float g = load(gate + i), u = up != nullptr ? load(up + i) : 1.0f;
    store(y + i, g * gelu_gate_of(g) * u);
  }
}

template <typename T>
void geglu_backward(T* dgate, T* dup, const T* dy, const T* gate, const T* up, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float g = load(gate + i), s = gelu_gate_of(g), d = load(dy + i);
    const float dz = 1.5957691216057308f * (1.0f + 0.134145f * g * g);
    const float u = up != nullptr ? load(up + i) : 1.0f;
    store(dgate + i, d * u * (s + g * s * (1.0f - s) * dz));
    if (dup != nullptr) store(dup + i, d * g * s);
  }
}

template <typename T>
void softcap(T* x, int64_t n, float cap) {
  const float inverse = 1.0f / cap;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(x + i, cap * tanh_of(load(x + i) * inverse));
}

template <typename T>
void softcap_backward(T* dx, const T* capped, int64_t n, float cap) {
  const float inverse = 1.0f / cap;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float t = load(capped + i) * inverse;
    store(dx + i, load(dx + i) * (1.0f - t * t));
  }
}

template <typename T>
void log_softmax_pick(float* picked, float* lse, const T* logits, const int64_t* targets,
                      int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, logits += width) {
    float top = load(logits);
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < width; ++i) {
      const float value = load(logits + i);
      top = value > top ? value : top;
    }
    // Blocks keep the sum of many small terms exact to a few ulp.
    double total = 0;
    for (int64_t begin = 0; begin < width; begin += 4096) {
      const int64_t end = width < begin + 4096 ? width : begin + 4096;
      float part = 0;
#pragma omp simd reduction(+ : part)
      for (int64_t i = begin; i < end; ++i) part += exp_of(load(logits + i) - top);
      total += part;
    }
    lse[r] = static_cast<float>(top + __builtin_log(total));
    picked[r] = (targets[r] < 0 ? 0.0f : load(logits + targets[r])) - lse[r];
  }
}

template <typename T>
void log_softmax_pick_backward(T* dlogits, const T* logits, const float* lse, const float* dpicked,
                               const int64_t* targets, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, logits += width, dlogits += width) {
    const float d = dpicked[r], shift = lse[r];
    const int64_t target = targets[r] < 0 ? 0 : targets[r];
    const float at_target = d * (1.0f - exp_of(load(logits + target) - shift));
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) store(dlogits + i, -d * exp_of(load(logits + i) - shift));
    if (targets[r] >= 0) store(dlogits + target, at_target);
  }
}

inline float softmax_row(float* scores, int64_t keys, float scale) {
  float top = scores[0], total = 0;
#pragma omp simd reduction(max : top)
  for (int64_t i = 0; i < keys; ++i) top = scores[i] > top ? scores[i] : top;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < keys; ++i) {
    scores[i] = exp_of((scores[i] - top) * scale);
    total += scores[i];
  }
  const float inverse = 1.0f / total;
#pragma omp simd
  for (int64_t i = 0; i < keys; ++i) scores[i] *= inverse;
  return top * scale + __builtin_logf(total);
}

// Caps the scores where that is asked for; returns the scale that is left to apply.
inline float cap_scores(float* scores, int64_t keys, const Scoring& scoring) {
  const float scale = static_cast<float>(scoring.scale), cap = static_cast<float>(scoring.softcap);
  if (cap == 0) return scale;
  const float inner = scale / cap;
#pragma omp simd
  for (int64_t i = 0; i < keys; ++i) scores[i] = cap * tanh_of(scores[i] * inner);
  return 1;
}

// The first key that a row of `seen` keys still sees.
inline int64_t window_begin(int64_t seen, const Scoring& scoring) {
  return scoring.window > 0 && seen > scoring.window ? seen - scoring.window : 0;
}

void softmax(float* scores, float* lse, int64_t rows, int64_t keys, int64_t visible,
             const Scoring& scoring) {
  for (int64_t r = 0; r < rows; ++r, scores += keys) {
    const int64_t seen = visible + r < keys ? visible + r : keys;
    const int64_t begin = window_begin(seen, scoring);
    const float scale = cap_scores(scores + begin, seen - begin, scoring);
    lse[r] = softmax_row(scores + begin, seen - begin, scale);
    for (int64_t i = 0; i < begin; ++i) scores[i] = 0;
    for (int64_t i = seen; i < keys; ++i) scores[i] = 0;
  }
}

// One row: scores -> probabilities, dprobabilities -> dscores.
inline void softmax_backward_row(float* scores, float* dprobabilities, float shift, float pull,
                                 int64_t keys, const Scoring& scoring) {
  const float scale = static_cast<float>(scoring.scale), cap = static_cast<float>(scoring.softcap);
  if (cap == 0) {
#pragma omp simd
    for (int64_t i = 0; i < keys; ++i) {
      scores[i] = exp_of(scores[i] * scale - shift);
      dprobabilities[i] = scores[i] * (dprobabilities[i] - pull) * scale;
    }
    return;
  }
  cap_scores(scores, keys, scoring);
  const float inverse = 1.0f / cap;
#pragma omp simd
  for (int64_t i = 0; i < keys; ++i) {
    const float t = scores[i] * inverse;
    scores[i] = exp_of(scores[i] - shift);
    dprobabilities[i] = scores[i] * (dprobabilities[i] - pull) * (1.0f - t * t) * scale;
  }
}

void softmax_backward(float* scores, float* dprobabilities, const float* lse, const float* delta,
                      int64_t rows, int64_t keys, int64_t visible,
                      const Scoring& scoring) {
  for (int64_t r = 0; r < rows; ++r, scores += keys, dprobabilities += keys) {
    const int64_t seen = visible + r < keys ? visible + r : keys;
    const int64_t begin = window_begin(seen, scoring);
    softmax_backward_row(scores + begin, dprobabilities + begin, lse[r], delta[r], seen - begin,
                         scoring);
    for (int64_t i = 0; i < begin; ++i) scores[i] = dprobabilities[i] = 0;
    for (int64_t i = seen; i < keys; ++i) scores[i] = dprobabilities[i] = 0;
  }
}

template <typename T>
void dot_rows(float* sum, const T* a, const T* b, int64_t rows, int64_t stride, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, a += stride, b += stride) {
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) dot += load(a + i) * load(b + i);
    sum[r] = dot;
  }
}

// Sixteen floats; the compiler makes of them what the instruction set has.
typedef float Floats __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
constexpr int64_t kFloats = 16;

inline void load16(Floats& values, const float* p) { __builtin_memcpy(&values, p, sizeof values); }
inline void load16(Floats& values, const Bf16* p) {
  Halves halves;
  __builtin_memcpy(&halves, p, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  __builtin_memcpy(&values, &words, sizeof values);
}

template <typename T>
void peaks(float* most, const T* x, int64_t n, int64_t stretch) {
  for (int64_t begin = 0; begin < n; begin += stretch, ++most) {
    const int64_t end = begin + stretch < n ? begin + stretch : n;
    float top = load(x + begin);
    int unordered = 0;
#pragma omp simd reduction(max : top) reduction(| : unordered)
    for (int64_t i = begin; i < end; ++i) {
      const float value = load(x + i);
      top = value > top ? value : top;
      unordered |= value != value;
    }
    *most = unordered ? __builtin_nanf("") : top;
  }
}

template <typename T>
void exponentials(float* y, const T* x, int64_t n, float divisor, float shift) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = exp_of(load(x + i) / divisor - shift);
}

template <typename T>
void dot_products(float* y, const T* x, const T* w, const TileShape& shape) {
  for (int64_t t = 0; t < shape.tokens; ++t) {
    for (int64_t o = 0; o < shape.outputs; ++o) {
      dot_rows(y + t * shape.y_stride + o, x + t * shape.x_stride, w + o * shape.width, 1, 0,
               shape.width);
    }
  }
}

// kVectors of the sums stay in registers.
template <int kVectors, typename T>
inline void add_weighted_columns(float* sums, const float* weights, const T* x, int64_t rows,
                                 int64_t width) {
  Floats own[kVectors];
#pragma GCC unroll 4
  for (int c = 0; c < kVectors; ++c) load16(own[c], sums + c * kFloats);
  for (int64_t r = 0; r < rows; ++r, x += width) {
#pragma GCC unroll 4
    for (int c = 0; c < kVectors; ++c) {
      // What lies behind is wanted next: another head's block of a cache, kKvBlock rows.
      __builtin_prefetch(x + 32 * width + c * kFloats);
      Floats values;
      load16(values, x + c * kFloats);
      own[c] += values * weights[r];
    }
  }
  __builtin_memcpy(sums, own, sizeof own);
}

template <typename T>
void add_weighted(float* sums, const float* weights, const T* x, int64_t rows, int64_t width) {
  int64_t i = 0;
  for (; i + 4 * kFloats <= width; i += 4 * kFloats)
    add_weighted_columns<4>(sums + i, weights, x + i, rows, width);
  for (; i + kFloats <= width; i += kFloats)
    add_weighted_columns<1>(sums + i, weights, x + i, rows, width);
  for (; i < width; ++i) {
    float sum = sums[i];
    for (int64_t r = 0; r < rows; ++r) sum += weights[r] * load(x + r * width + i);
    sums[i] = sum;
  }
}

template <typename T>
void narrow(T* y, const float* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) store(y + i, x[i]);
}

// The sums of kRows outputs and kTokens tokens stay in registers.
template <int kRows, int kTokens, typename T>
inline void thin_block(float* y, const float* x, const T* w, int64_t width, int64_t y_stride) {
  Floats sums[kRows][kTokens] = {};
  const int64_t whole = width / kFloats * kFloats;
  for (int64_t i = 0; i < whole; i += kFloats) {
    Floats tokens[kTokens];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) load16(tokens[t], x + t * width + i);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      Floats weights;
      load16(weights, w + r * width + i);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) sums[r][t] += weights * tokens[t];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kTokens; ++t) {
      float sum = 0;
      for (int lane = 0; lane < kFloats; ++lane) sum += sums[r][t][lane];
      for (int64_t i = whole; i < width; ++i) sum += load(w + r * width + i) * x[t * width + i];
      y[t * y_stride + r] = sum;
    }
  }
}

template <int kRows, typename T>
inline void thin_rows(float* y, const float* x, const T* w, int64_t tokens, int64_t width,
                      int64_t y_stride) {
  int64_t t = 0;
  for (; t + 4 <= tokens; t += 4)
    thin_block<kRows, 4>(y + t * y_stride, x + t * width, w, width, y_stride);
  if (tokens - t == 3) thin_block<kRows, 3>(y + t * y_stride, x + t * width, w, width, y_stride);
  if (tokens - t == 2) thin_block<kRows, 2>(y + t * y_stride, x + t * width, w, width, y_stride);
  if (tokens - t == 1) thin_block<kRows, 1>(y + t * y_stride, x + t * width, w, width, y_stride);
}

template <typename T>
void thin_product(float* y, const float* x, const T* w, int64_t tokens, int64_t outputs,
                  int64_t width, int64_t y_stride) {
  constexpr int kRows = 4;
  int64_t o = 0;
  for (; o + kRows <= outputs; o += kRows)
    thin_rows<kRows>(y + o, x, w + o * width, tokens, width, y_stride);
  for (; o < outputs; ++o) thin_rows<1>(y + o, x, w + o * width, tokens, width, y_stride);
}

constexpr ScoreKernels all_score_kernels() { return {&softmax, &softmax_backward}; }

template <typename T>
constexpr RowKernels<T> all_row_kernels() {
  return {&rms_norm<T>,        &rms_norm_backward<T>, &rotate<T>,
          &swiglu<T>,          &swiglu_backward<T>,   &geglu<T>, &geglu_backward<T>,
          &softcap<T>, &softcap_backward<T>, &log_softmax_pick<T>,
          &log_softmax_pick_backward<T>,
          &dot_products<T>,    &add_weighted<T>,      &narrow<T>,
          &peaks<T>,           &exponentials<T>,
          &dot_rows<T>,
          &thin_product<T>};
}

}  // namespace
}  // namespace lathe
