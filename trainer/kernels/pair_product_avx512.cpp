#include "trainer/kernels/pair_product.h"

#include <immintrin.h>

namespace lathe {
namespace {

constexpr int kMostRows = 6,
              kMostVectors = 4;  // 24 sums, 4 columns' pairs and a row's fit the registers
constexpr int64_t kFloats = 16;

// Not std's: those instances could be taken for files that run on any machine.
constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

template <int kRows, int kVectors>
void tile(float* c, const Pair* a, const Pair* b, int64_t pairs, const PairShape& shape, bool add) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] =
          add ? _mm512_loadu_ps(c + r * shape.c_stride + v * kFloats) : _mm512_setzero_ps();
  }
  for (int64_t p = 0; p < pairs; ++p, a += shape.a_pair, b += kPanel) {
    __m512bh columns[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) columns[v] = (__m512bh)_mm512_loadu_si512(b + v * kFloats);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const __m512bh row = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[r * shape.a_row]));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], row, columns[v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      _mm512_storeu_ps(c + r * shape.c_stride + v * kFloats, sums[r][v]);
  }
}

using Tile = void (*)(float*, const Pair*, const Pair*, int64_t, const PairShape&, bool);

// By rows - 1 and vectors - 1.
constexpr Tile kTiles[kMostRows][kMostVectors] = {{tile<1, 1>, tile<1, 2>, tile<1, 3>, tile<1, 4>},
                                                  {tile<2, 1>, tile<2, 2>, tile<2, 3>, tile<2, 4>},
                                                  {tile<3, 1>, tile<3, 2>, tile<3, 3>, tile<3, 4>},
                                                  {tile<4, 1>, tile<4, 2>, tile<4, 3>, tile<4, 4>},
                                                  {tile<5, 1>, tile<5, 2>, tile<5, 3>, tile<5, 4>},
                                                  {tile<6, 1>, tile<6, 2>, tile<6, 3>, tile<6, 4>}};

void product(float* c, const Pair* a, const Panels& b, const PairShape& shape, bool add) {
  for (int64_t first = 0; first < shape.columns; first += kPanel) {
    const Pair* panel = b.data + first / kPanel * b.panel_stride;
    for (int64_t r = 0; r < shape.rows; r += kMostRows) {
      const int64_t rows = least(kMostRows, shape.rows - r);
      int64_t columns = least(kPanel, shape.columns - first), begin = 0, end = shape.pairs;
      if (shape.unseen == Unseen::kColumns)
        columns = least(columns, shape.visible + r + rows - 1 - first);
      if (shape.unseen == Unseen::kDepth) end = least(end, (shape.visible + r + rows) / 2);
      if (shape.unseen == Unseen::kDepthBegin)
        begin = least(end, most(0, r - shape.visible + 1) / 2);
      if (columns <= 0) continue;
      const int64_t vectors = (columns + kFloats - 1) / kFloats;
      kTiles[rows - 1][vectors - 1](c + r * shape.c_stride + first,
                                    a + r * shape.a_row + begin * shape.a_pair,
                                    panel + begin * kPanel, end - begin, shape, add);
    }
  }
}

// 16 numbers of which `count` are there.
inline __m512i load_part(const Bf16* x, int64_t count) {
  const auto mask = static_cast<__mmask16>((1u << least(count, kFloats)) - 1);
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x));
}

void pack(Pair* panels, int64_t panel_stride, const Bf16* x, int64_t stride, int64_t rows,
          int64_t columns) {
  for (int64_t c = 0; c < columns; c += kFloats) {
    Pair* to = panels + c / kPanel * panel_stride + c % kPanel;
    for (int64_t r = 0; r < rows; r += 2, to += kPanel) {
      const Bf16* row = x + r * stride + c;
      const __m512i low = load_part(row, columns - c);
      const __m512i high =
          r + 1 < rows ? load_part(row + stride, columns - c) : _mm512_setzero_si512();
      _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
  }
}

void pack_transposed(Pair* panels, int64_t panel_stride, const Bf16* x, int64_t stride,
                     int64_t rows, int64_t columns) {
  const int64_t filled = (rows + kFloats - 1) / kFloats * kFloats;
  for (int64_t r = 0; r < filled; ++r) {
    Pair* to = panels + r / kPanel * panel_stride + r % kPanel;
    for (int64_t p = 0; p < columns / 2; ++p) {
      Pair pair = 0;
      if (r < rows) __builtin_memcpy(&pair, x + r * stride + 2 * p, sizeof pair);
      to[p * kPanel] = pair;
    }
  }
}

inline __m256i rounded(const float* x) { return (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x)); }

void narrow(Bf16* y, Pair* pairs, const float* x, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; r += 2) {
    const bool two = r + 1 < rows;
    for (int64_t i = r * columns; i < (r + 1) * columns; i += kFloats) {
      const __m256i low = rounded(x + i),
                    high = two ? rounded(x + i + columns) : _mm256_setzero_si256();
      if (y != nullptr) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i), low);
        if (two) _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i + columns), high);
      }
      if (pairs == nullptr) continue;
      const __m512i both = _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
      _mm512_storeu_si512(pairs + i - r / 2 * columns, both);
    }
  }
}

}  // namespace

extern const PairKernels kAvx512PairKernels = {&product, &pack, &pack_transposed, &narrow};

}  // namespace lathe
