// The body of tile_product.h, included by each file that has a Step: how a vector of x and one of
// weights are loaded and multiplied into 16 sums. Everything has internal linkage.
#include <immintrin.h>

#include "trainer/kernels/tile_isa.h"

namespace lathe {
namespace {

// Not std's: that instance could be taken for files that run on any machine.
constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// The sums of sixteen vectors, each by _mm512_reduce_add_ps's tree: halves, quarters, pairs, two.
inline __m512 reduce16(const __m512 (&s)[16]) {
  __m512 a[8], b[4], c[2];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j)
    a[j] = _mm512_add_ps(_mm512_mask_blend_ps(0xFF00, s[j], s[j + 8]),
                         _mm512_shuffle_f32x4(s[j], s[j + 8], 0x4E));
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 other = _mm512_mask_blend_ps(0xF0F0, a[j + 4], a[j]);
    b[j] = _mm512_add_ps(_mm512_mask_blend_ps(0xF0F0, a[j], a[j + 4]),
                         _mm512_shuffle_f32x4(other, other, 0xB1));
  }
#pragma GCC unroll 2
  for (int j = 0; j < 2; ++j)
    c[j] = _mm512_add_ps(_mm512_mask_blend_ps(0xCCCC, b[j], b[j + 2]),
                         _mm512_shuffle_ps(b[j], b[j + 2], 0x4E));
  return _mm512_add_ps(_mm512_mask_blend_ps(0xAAAA, c[0], c[1]),
                       _mm512_permute_ps(_mm512_mask_blend_ps(0xAAAA, c[1], c[0]), 0xB1));
}

// A row's four numbers, written or added to y.
inline void put4(float* y, __m128 numbers, bool first) {
  _mm_storeu_ps(y, first ? numbers : _mm_add_ps(_mm_loadu_ps(y), numbers));
}

// Weights that are wanted later, sent for on the way: the processor's own look-ahead stops at each
// page and loses its way among several rows. Lines of short rows are asked for in the order in
// which they lie in memory, those of long rows in the order in which they are used.
template <typename W, bool kShort>
struct Fetch {
  const W* from;  // in a later panel
  int64_t width;
  int64_t begin, end;  // the part of the depth that does it

  // Always inline: g++ drops calls of a function that only prefetches.
  template <int kRows, int64_t kStep>
  __attribute__((always_inline)) void at(int64_t i) const {
    if (i < begin || i >= end) return;
    const W* line = from + (kShort ? kRows * i : i);
    const int64_t next = kShort ? kStep : width;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      _mm_prefetch(reinterpret_cast<const char*>(line + r * next), _MM_HINT_T0);
  }
};

// The same for many tokens, who leave the time: a line each step, from where the part of a later
// panel lies that is this tile's to fetch.
struct FetchAlong {
  mutable const char* from;
  int64_t bytes;  // of each step

  template <int kRows, int64_t kStep>
  __attribute__((always_inline)) void at(int64_t) const {
    _mm_prefetch(from, _MM_HINT_T0);
    from += bytes;
  }
};

// x as it lies, or of a few tokens at a time, vector beside vector.
enum class Layout { kRows, kPacked };

// kRows outputs of kTokens tokens over `depth` of the width, written or added to y.
template <typename Step, Layout kLayout, int kRows, int kTokens, typename FetchAhead>
inline void tile(float* y, const typename Step::X* x, const typename Step::W* w, int64_t depth,
                 const TileShape& shape, bool first, const FetchAhead& fetch) {
  // Sum (t, r) is number t * kRows + r.
  constexpr int kSums = kRows * kTokens;
  __m512 sums[kSums];
#pragma GCC unroll 16
  for (int j = 0; j < kSums; ++j) sums[j] = _mm512_setzero_ps();
  const auto step = [&](int64_t i, const auto& load_x, const auto& load_w)
      __attribute__((always_inline)) {
    typename Step::Vector tokens[kTokens];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      tokens[t] = kLayout == Layout::kPacked ? Step::load(x + kTokens * i + t * Step::kWidth)
                                             : load_x(x + t * shape.x_stride + i);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const typename Step::Vector weights = load_w(w + r * shape.width + i);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t)
        sums[t * kRows + r] = Step::add(sums[t * kRows + r], tokens[t], weights);
    }
  };
  int64_t i = 0;
  for (; i + Step::kWidth <= depth; i += Step::kWidth) {
    fetch.template at<kRows, Step::kWidth>(i);
    step(
        i, [](const typename Step::X* p) { return Step::load(p); },
        [](const typename Step::W* p) { return Step::load(p); });
  }
  if (i < depth) {
    step(
        i, [&](const typename Step::X* p) { return Step::load_part(p, depth - i); },
        [&](const typename Step::W* p) { return Step::load_part(p, depth - i); });
  }
  if constexpr (kRows == 16 && kTokens == 1) {
    const __m512 numbers = reduce16(sums);
    _mm512_storeu_ps(y, first ? numbers : _mm512_add_ps(_mm512_loadu_ps(y), numbers));
  } else if constexpr (kRows == 4 && kTokens == 4) {
    const __m512 numbers = reduce16(sums);
    put4(y, _mm512_castps512_ps128(numbers), first);
    put4(y + shape.y_stride, _mm512_extractf32x4_ps(numbers, 1), first);
    put4(y + 2 * shape.y_stride, _mm512_extractf32x4_ps(numbers, 2), first);
    put4(y + 3 * shape.y_stride, _mm512_extractf32x4_ps(numbers, 3), first);
  } else {
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const float number = _mm512_reduce_add_ps(sums[t * kRows + r]);
        float& to = y[t * shape.y_stride + r];
        to = first ? number : to + number;
      }
    }
  }
}

// Tokens that are packed together: a weight is read once from memory for so many.
constexpr int64_t kPackedTokens = 64;

// How far ahead weights are sent for, in elements, but a panel of rows at least.
template <typename Step>
constexpr int64_t kAhead = 28 * 1024 / sizeof(typename Step::W);

// Sums over the whole width are made of sums over equal parts of it, at most so much each, so that
// a few rows of weights stay in the first cache while the tokens pass by.
template <typename Step>
int64_t depth_of(int64_t width) {
  constexpr int64_t kMost = 64 * Step::kWidth;
  const int64_t parts = (width + kMost - 1) / kMost, vectors = parts * Step::kWidth;
  return (width + vectors - 1) / vectors * Step::kWidth;
}

// next.operator()<kTokens>(t): four tokens at a time, what is left by two and one.
template <typename Next>
__attribute__((always_inline)) inline void for_tokens(int64_t tokens, const Next& next) {
  int64_t t = 0;
  for (; t + 4 <= tokens; t += 4) next.template operator()<4>(t);
  if (t + 2 <= tokens) next.template operator()<2>(t), t += 2;
  if (t < tokens) next.template operator()<1>(t);
}

// next.operator()<kRows>(o): the same of outputs, by four and one, where they are `wide` by sixteen
// first.
template <bool kWide, typename Next>
__attribute__((always_inline)) inline void for_panels(int64_t outputs, const Next& next) {
  int64_t o = 0;
  if constexpr (kWide) {
    for (; o + 16 <= outputs; o += 16) next.template operator()<16>(o);
  }
  for (; o + 4 <= outputs; o += 4) next.template operator()<4>(o);
  for (; o < outputs; ++o) next.template operator()<1>(o);
}

// Of a few tokens: what counts is how the weights come.
template <typename Step, bool kShort>
void few_tokens(float* y, const typename Step::X* x, const typename Step::W* w,
                const TileShape& shape) {
  const int64_t step = depth_of<Step>(shape.width);
  const int64_t most = kAhead<Step> / shape.width / 4 * 4, ahead = most > 4 ? most : 4;
  for_panels<false>(shape.outputs, [&]<int kRows>(int64_t o) {
    for (int64_t i = 0; i < shape.width; i += step) {
      const int64_t depth = least(step, shape.width - i);
      const typename Step::W* rows = w + o * shape.width + i;
      const typename Step::W* later = w + (o + ahead) * shape.width + (kShort ? kRows * i : i);
      for_tokens(shape.tokens, [&]<int kTokens>(int64_t t) {
        const Fetch<typename Step::W, kShort> fetch{later, shape.width, depth * t / shape.tokens,
                                                    depth * (t + kTokens) / shape.tokens};
        tile<Step, Layout::kRows, kRows, kTokens>(y + t * shape.y_stride + o,
                                                  x + t * shape.x_stride + i, rows, depth, shape,
                                                  i == 0, fetch);
      });
    }
  });
}

// One token's products with rows so short that adding up a vector's numbers is the most of them.
template <typename Step>
void one_short_token(float* y, const typename Step::X* x, const typename Step::W* w,
                     const TileShape& shape) {
  const int64_t ahead = kAhead<Step> / shape.width;
  for_panels<true>(shape.outputs, [&]<int kRows>(int64_t o) {
    const typename Step::W* rows = w + o * shape.width;
    const Fetch<typename Step::W, true> fetch{rows + ahead * shape.width, shape.width, 0,
                                              shape.width};
    tile<Step, Layout::kRows, kRows, 1>(y + o, x, rows, shape.width, shape, true, fetch);
  });
}

// `depth` of x, in vectors; the last is filled up with zeros.
template <typename Step>
void pack(typename Step::X* to, const typename Step::X* x, int64_t depth, const TileShape& shape) {
  for_tokens(shape.tokens, [&]<int kTokens>(int64_t t) {
    for (int64_t i = 0; i < depth; i += Step::kWidth) {
      for (int64_t k = t; k < t + kTokens; ++k, to += Step::kWidth) {
        const typename Step::X* from = x + k * shape.x_stride + i;
        Step::store(to,
                    depth - i < Step::kWidth ? Step::load_part(from, depth - i) : Step::load(from));
      }
    }
  });
}

// Of many: what counts is that nothing but products keeps the processor busy.
template <typename Step>
void many_tokens(float* y, const typename Step::X* x, const typename Step::W* w,
                 const TileShape& shape) {
  alignas(64) typename Step::X packed[kPackedTokens * 64 * Step::kWidth];
  const int64_t step = depth_of<Step>(shape.width);
  for (int64_t i = 0; i < shape.width; i += step) {
    const int64_t depth = least(step, shape.width - i);
    const int64_t padded = (depth + Step::kWidth - 1) / Step::kWidth * Step::kWidth;
    pack<Step>(packed, x + i, depth, shape);
    for_panels<false>(shape.outputs, [&]<int kRows>(int64_t o) {
      // Two panels later, and of its kRows * depth weights each tile its share.
      const typename Step::W* later = w + (o + 2 * kRows) * shape.width + i;
      const int64_t bytes = 64 * kRows * 4 / shape.tokens;
      for_tokens(shape.tokens, [&]<int kTokens>(int64_t t) {
        const int64_t share = kRows * depth * t / shape.tokens;
        const FetchAlong fetch{
            reinterpret_cast<const char*>(later + share / depth * shape.width + share % depth),
            bytes};
        tile<Step, Layout::kPacked, kRows, kTokens>(y + t * shape.y_stride + o, packed + t * padded,
                                                    w + o * shape.width + i, depth, shape, i == 0,
                                                    fetch);
      });
    });
  }
}

template <typename Step>
void tile_product(float* y, const typename Step::X* x, const typename Step::W* w,
                  const TileShape& whole) {
  constexpr int64_t kFew = 8;
  const bool is_short = 4 * whole.width <= kAhead<Step>;
  if (whole.tokens == 1 && whole.width <= 8 * Step::kWidth)
    return one_short_token<Step>(y, x, w, whole);
  const auto few = is_short ? few_tokens<Step, true> : few_tokens<Step, false>;
  for (int64_t t = 0; t < whole.tokens; t += kPackedTokens) {
    TileShape shape = whole;
    shape.tokens = least(kPackedTokens, whole.tokens - t);
    (shape.tokens <= kFew ? few : many_tokens<Step>)(y + t * whole.y_stride, x + t * whole.x_stride,
                                                     w, shape);
  }
}

}  // namespace
}  // namespace lathe
