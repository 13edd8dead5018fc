#pragma once

#include <cstdint>

#include "trainer/kernels/rows.h"

// Small matrix products of bfloat16 by AVX512_BF16, which multiplies two neighbours of the depth at
// once: a Pair. Sums are float32, over the depth from its beginning to its end, so that a number is
// the same bits in any company. On the calling thread.
namespace lathe {

// Of depths 2p (the lower half) and 2p + 1.
using Pair = uint32_t;

inline constexpr int64_t kPanel = 64;

// The right-hand matrix, [pairs, columns], as its product reads it: panels of kPanel columns, each
// [pairs, kPanel], panel_stride apart.
struct Panels {
  const Pair* data;
  int64_t panel_stride;
};

// Which numbers are left out of c[rows, columns] += a[rows, depth] b[depth, columns] when row r of
// scores sees its first visible + r keys: what the mask makes zero.
enum class Unseen {
  kNone,
  kColumns,     // c is scores: columns that a row does not see; they may be left unwritten
  kDepth,       // a is scores
  kDepthBegin,  // a is scores, transposed: the rows are keys
};

struct PairShape {
  int64_t rows, columns, pairs;  // c is written up to the next 16 columns
  int64_t c_stride;
  int64_t a_row, a_pair;  // from one row of a to the next, from one pair to the next
  Unseen unseen = Unseen::kNone;
  int64_t visible = 0;
};

struct PairKernels {
  // c = a b, or c += a b.
  void (*product)(float* c, const Pair* a, const Panels& b, const PairShape& shape, bool add);
  // The rows of x, `stride` apart, are the depth; a missing last one is zeros. Columns are filled
  // up with zeros to the next 16.
  void (*pack)(Pair* panels, int64_t panel_stride, const Bf16* x, int64_t stride, int64_t rows,
               int64_t columns);
  // The rows of x are the columns, its columns (an even number) the depth.
  void (*pack_transposed)(Pair* panels, int64_t panel_stride, const Bf16* x, int64_t stride,
                          int64_t rows, int64_t columns);
  // Rounds x[rows, columns], columns a multiple of 16, to left-hand matrices: y as x lies, with
  // columns as the depth, and pairs[rows / 2, columns] with rows as the depth (an odd last row
  // beside zeros). Either may be null.
  void (*narrow)(Bf16* y, Pair* pairs, const float* x, int64_t rows, int64_t columns);
};

// Null on machines that have no such instruction.
const PairKernels* pair_kernels();

}  // namespace lathe
