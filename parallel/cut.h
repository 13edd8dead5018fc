#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "parallel/group.h"

// Which part of a tensor a rank of a tp group holds: along one dim, a few runs of it, one after
// another (a fused q, k and v is three). Ranks may hold the same run, as a key head that serves
// the query heads of several; one of them counts it.
namespace lathe {

struct CutRun {
  int64_t begin = 0, end = 0;
  bool shared = false;  // several ranks hold it,
  bool counted = true;  // and this is the one that counts it

  bool operator==(const CutRun&) const = default;
};

struct Cut {
  std::vector<int64_t> shape = {};  // of the whole tensor
  int64_t dim = 0;
  std::vector<CutRun> runs = {};  // none: the tensor is not cut, and shape is not said

  bool is_whole() const;
  // Of a tensor that is `part`'s, where no run is said.
  std::vector<int64_t> whole_shape(at::IntArrayRef part) const;
  std::vector<int64_t> part_shape() const;

  bool operator==(const Cut&) const = default;
};

// This rank's part: a view where it is one run.
at::Tensor part_of(const at::Tensor& whole, const Cut& cut);

// The whole, at every rank of the group, to the bit. Collective.
at::Tensor whole_of(const at::Tensor& part, const Cut& cut, Group& tp);

// Adds up the ranks' summands of `part` over the ranks that hold it. Collective.
std::vector<at::Tensor> summed_over(const std::vector<at::Tensor>& parts,
                                    const std::vector<const Cut*>& cuts, Group& tp);

// Indices into dim 0 of the whole -> into this rank's part, which is one run; -1: another rank's.
at::Tensor local_indices(const at::Tensor& indices, const Cut& cut);

// Where `count` elements of the flattened part, from `offset` on, lie in the flattened whole.
struct CutPiece {
  int64_t whole = 0, part = 0, count = 0;
};
std::vector<CutPiece> pieces_of(const Cut& cut, int64_t offset, int64_t count);
// Those that this rank counts; where they lie in the whole is not said.
std::vector<CutPiece> counted_pieces_of(const Cut& cut, int64_t offset, int64_t count);

}  // namespace lathe
