// The body of tile_product.h, included by each file that has a Step: how a vector of x and one of
// weights are loaded and multiplied into 16 sums. Everything has internal linkage.
#include <immintrin.h>

#include "trainer/kernels/tile_isa.h"

namespace lathe {
namespace {

// Not std's: that instance could be taken for files that run on any machine.
constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Where reduce16 wants what it is to give as number j.
constexpr int place_of(int j) {
  constexpr int kLane[] = {0, 8, 4, 12}, kWithin[] = {0, 2, 1, 3};
  return kLane[j / 4] + kWithin[j % 4];
}

// The sums of sixteen vectors, each by _mm512_reduce_add_ps's tree: halves, quarters, pairs, two.
inline __m512 reduce16(const __m512 (&s)[16]) {
  __m512 a[8], b[4], c[2];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j)
    a[j] = _mm512_add_ps(_mm512_shuffle_f32x4(s[j], s[j + 8], 0x44),
                         _mm512_shuffle_f32x4(s[j], s[j + 8], 0xEE));
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j)
    b[j] = _mm512_add_ps(_mm512_shuffle_f32x4(a[j], a[j + 4], 0x88),
                         _mm512_shuffle_f32x4(a[j], a[j + 4], 0xDD));
#pragma GCC unroll 2
  for (int j = 0; j < 2; ++j)
    c[j] = _mm512_add_ps(_mm512_shuffle_ps(b[j], b[j + 2], 0x44),
                         _mm512_shuffle_ps(b[j], b[j + 2], 0xEE));
  return _mm512_add_ps(_mm512_shuffle_ps(c[0], c[1], 0x88), _mm512_shuffle_ps(c[0], c[1], 0xDD));
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

// kRows outputs of kTokens tokens over `depth` of the width, written or added to y.
template <typename Step, int kRows, int kTokens, bool kShort>
inline void tile(float* y, const typename Step::X* x, const typename Step::W* w, int64_t depth,
                 const TileShape& shape, bool first, const Fetch<typename Step::W, kShort>& fetch) {
  // Sum (t, r) is number t * kRows + r.
  constexpr int kSums = kRows * kTokens;
  __m512 sums[kSums];
#pragma GCC unroll 16
  for (int j = 0; j < kSums; ++j) sums[j] = _mm512_setzero_ps();
  const auto step = [&](const auto& load_x, const auto& load_w) __attribute__((always_inline)) {
    typename Step::Vector tokens[kTokens];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) tokens[t] = load_x(x + t * shape.x_stride);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const typename Step::Vector weights = load_w(w + r * shape.width);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t)
        sums[t * kRows + r] = Step::add(sums[t * kRows + r], tokens[t], weights);
    }
  };
  int64_t i = 0;
  for (; i + Step::kWidth <= depth; i += Step::kWidth) {
    fetch.template at<kRows, Step::kWidth>(i);
    step([&](const typename Step::X* p) { return Step::load(p + i); },
         [&](const typename Step::W* p) { return Step::load(p + i); });
  }
  if (i < depth) {
    step([&](const typename Step::X* p) { return Step::load_part(p + i, depth - i); },
         [&](const typename Step::W* p) { return Step::load_part(p + i, depth - i); });
  }
  if constexpr (kSums == 16) {
    __m512 placed[16];
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) placed[place_of(j)] = sums[j];
    float numbers[16];
    _mm512_storeu_ps(numbers, reduce16(placed));
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        float& to = y[t * shape.y_stride + r];
        to = first ? numbers[t * kRows + r] : to + numbers[t * kRows + r];
      }
    }
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

// How far ahead weights are sent for, in elements, but a panel of rows at least.
template <typename Step>
constexpr int64_t kAhead = 28 * 1024 / sizeof(typename Step::W);

// All tokens, over the same rows.
template <typename Step, int kRows, bool kShort>
inline void tiles_of_rows(float* y, const typename Step::X* x, const typename Step::W* w,
                          int64_t depth, const TileShape& shape, bool first,
                          const typename Step::W* later) {
  int64_t t = 0;
  const auto next = [&]<int kTokens>() {
    const Fetch<typename Step::W, kShort> fetch{later, shape.width, depth * t / shape.tokens,
                                                depth * (t + kTokens) / shape.tokens};
    tile<Step, kRows, kTokens, kShort>(y + t * shape.y_stride, x + t * shape.x_stride, w, depth,
                                       shape, first, fetch);
    t += kTokens;
  };
  while (t + 4 <= shape.tokens) next.template operator()<4>();
  if (t + 2 <= shape.tokens) next.template operator()<2>();
  if (t < shape.tokens) next.template operator()<1>();
}

// Sums over the whole width are made of sums over kDepth of it, so that a few rows of weights stay
// in the first cache while the tokens pass by.
template <typename Step, bool kShort>
void tile_product_of(float* y, const typename Step::X* x, const typename Step::W* w,
                     const TileShape& whole) {
  constexpr int64_t kDepth = 32 * Step::kWidth, kTokens = 64, kRows = 4;
  for (int64_t t = 0; t < whole.tokens; t += kTokens) {
    TileShape shape = whole;
    shape.tokens = least(kTokens, whole.tokens - t);
    const int64_t panel = shape.tokens > 8 ? 2 * kRows : kRows;
    const int64_t most = kAhead<Step> / whole.width / panel * panel;
    const int64_t ahead = most > panel ? most : panel;
    for (int64_t begin = 0; begin < whole.outputs; begin += panel) {
      const int64_t end = least(begin + panel, whole.outputs);
      for (int64_t i = 0; i < whole.width; i += kDepth) {
        const int64_t depth = least(kDepth, whole.width - i);
        float* to = y + t * whole.y_stride + begin;
        const typename Step::W* rows = w + begin * whole.width;
        const auto next = [&]<int kCount>() {
          tiles_of_rows<Step, kCount, kShort>(
              to, x + t * whole.x_stride + i, rows + i, depth, shape, i == 0,
              rows + ahead * whole.width + (kShort ? kCount * i : i));
          to += kCount;
          rows += kCount * whole.width;
        };
        int64_t o = begin;
        for (; o + kRows <= end; o += kRows) next.template operator()<kRows>();
        for (; o < end; ++o) next.template operator()<1>();
      }
    }
  }
}

template <typename Step>
void tile_product(float* y, const typename Step::X* x, const typename Step::W* w,
                  const TileShape& shape) {
  const bool is_short = 4 * shape.width <= kAhead<Step>;
  (is_short ? tile_product_of<Step, true> : tile_product_of<Step, false>)(y, x, w, shape);
}

}  // namespace
}  // namespace lathe
