#include "parallel/cut.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace lathe {
namespace {

int64_t length_of(const Cut& cut) {
  int64_t length = 0;
  for (const CutRun& run : cut.runs) length += run.end - run.begin;
  return length;
}

// whole += part, where this rank counts it (or everywhere).
void put(const at::Tensor& whole, const at::Tensor& part, const Cut& cut, bool counted_only) {
  int64_t at = 0;
  for (const CutRun& run : cut.runs) {
    const int64_t length = run.end - run.begin;
    if (run.counted || !counted_only) {
      whole.narrow(cut.dim, run.begin, length).copy_(part.narrow(cut.dim, at, length));
    }
    at += length;
  }
}

std::vector<CutPiece> pieces(const Cut& cut, int64_t offset, int64_t count, bool counted_only) {
  int64_t inner = 1;
  for (size_t d = cut.dim + 1; d < cut.shape.size(); ++d) inner *= cut.shape[d];
  const int64_t row = length_of(cut) * inner, end = offset + count;
  std::vector<CutPiece> result;
  for (int64_t outer = row > 0 ? offset / row : 0; row > 0 && outer * row < end; ++outer) {
    int64_t at = outer * row;
    for (const CutRun& run : cut.runs) {
      const int64_t length = (run.end - run.begin) * inner;
      const int64_t from = std::max(at, offset), to = std::min(at + length, end);
      if (from < to && (run.counted || !counted_only)) {
        const int64_t begin = (outer * cut.shape[cut.dim] + run.begin) * inner;
        result.push_back({begin + from - at, from, to - from});
      }
      at += length;
    }
  }
  return result;
}

}  // namespace

bool Cut::is_whole() const {
  return runs.empty() || (runs.size() == 1 && runs[0].begin == 0 && runs[0].end == shape[dim]);
}

std::vector<int64_t> Cut::whole_shape(at::IntArrayRef part) const {
  return runs.empty() ? part.vec() : shape;
}

std::vector<int64_t> Cut::part_shape() const {
  std::vector<int64_t> result = shape;
  if (!runs.empty()) result[dim] = length_of(*this);
  return result;
}

at::Tensor part_of(const at::Tensor& whole, const Cut& cut) {
  if (cut.is_whole()) return whole;
  std::vector<at::Tensor> runs;
  for (const CutRun& run : cut.runs) {
    runs.push_back(whole.narrow(cut.dim, run.begin, run.end - run.begin));
  }
  return runs.size() == 1 ? runs[0] : at::cat(runs, cut.dim);
}

at::Tensor whole_of(const at::Tensor& part, const Cut& cut, Group& tp) {
  if (cut.is_whole()) return part.detach();
  const at::NoGradGuard no_grad;
  // As integers: one rank's bits plus zeros are those bits, also where they are a zero with a sign.
  at::Tensor whole = at::zeros(cut.shape, part.options().dtype(at::kFloat).requires_grad(false));
  put(whole, part.detach().to(at::kFloat), cut, /*counted_only=*/true);
  at::Tensor bits = whole.view(at::kInt);
  tp.all_reduce(bits, Reduce::kSum);
  return whole.to(part.scalar_type());
}

std::vector<at::Tensor> summed_over(const std::vector<at::Tensor>& parts,
                                    const std::vector<const Cut*>& cuts, Group& tp) {
  if (tp.size() == 1 || parts.empty()) return parts;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> wholes, results;
  for (size_t i = 0; i < parts.size(); ++i) {
    at::Tensor whole = parts[i];
    if (!cuts[i]->is_whole()) {
      whole = at::zeros(cuts[i]->shape, parts[i].options());
      put(whole, parts[i], *cuts[i], /*counted_only=*/false);
    }
    wholes.push_back(whole.reshape({-1}));
  }
  at::Tensor flat = at::cat(wholes);
  tp.all_reduce(flat, Reduce::kSum);
  int64_t at = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const at::Tensor sum = flat.narrow(0, at, wholes[i].numel());
    results.push_back(part_of(sum.view(cuts[i]->whole_shape(parts[i].sizes())), *cuts[i]));
    at += wholes[i].numel();
  }
  return results;
}

at::Tensor local_indices(const at::Tensor& indices, const Cut& cut) {
  if (cut.is_whole()) return indices;
  const CutRun& run = cut.runs.front();
  const at::Tensor here = indices.ge(run.begin).logical_and_(indices.lt(run.end));
  return at::where(here, indices - run.begin, at::full_like(indices, -1));
}

std::vector<CutPiece> pieces_of(const Cut& cut, int64_t offset, int64_t count) {
  if (cut.is_whole()) return {{offset, offset, count}};
  return pieces(cut, offset, count, /*counted_only=*/false);
}

std::vector<CutPiece> counted_pieces_of(const Cut& cut, int64_t offset, int64_t count) {
  const auto counts = [](const CutRun& run) { return run.counted; };
  if (std::ranges::all_of(cut.runs, counts)) return {{offset, offset, count}};
  return pieces(cut, offset, count, /*counted_only=*/true);
}

}  // namespace lathe
