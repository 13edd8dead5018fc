#pragma once

#include <ATen/core/Tensor.h>

#include "parallel/cut.h"
#include "parallel/group.h"

// Layers that are cut over the ranks of a group (Shoeybi et al. 2019, arXiv:1909.08053): the first
// of a pair along its outputs, the second along its inputs, so that only the pair's input and
// output are the same at every rank. Between the pairs every rank either holds all tokens and
// repeats the others' work, or, with `sequence`, its own share of them (Korthikanti et al. 2022,
// arXiv:2205.05198). Alone, every function here gives back what it was given.
//
// Shape letters: T tokens, S of them at this rank: all, or with `sequence` ceil(T / ranks), the
// last ranks' with zeros where there is no token. H width, N positions.
namespace lathe {

class TensorParallel {
 public:
  TensorParallel() = default;  // alone
  TensorParallel(Group& group, bool sequence) : group_(&group), sequence_(sequence) {}

  int rank() const { return group_ == nullptr ? 0 : group_->rank(); }
  int size() const { return group_ == nullptr ? 1 : group_->size(); }
  bool shares_tokens() const { return sequence_ && size() > 1; }

  // This rank's equal part of `count` units of `width` numbers each. With fewer units than ranks
  // (which is then a multiple of count), the one that it shares with its neighbours.
  CutRun share(int64_t count, int64_t width = 1) const;
  // The cut of a tensor along dim; without runs it is at every rank, and the first one counts it.
  Cut cut(std::vector<int64_t> shape, int64_t dim, std::vector<CutRun> runs) const;
  Cut copy(std::vector<int64_t> shape) const;

  // x_SH -> [T, H], for a layer that is cut along its outputs. The gradients of all ranks' parts
  // are added up.
  at::Tensor enter(const at::Tensor& x_SH, int64_t num_tokens) const;
  // Every rank's summand [T, H] -> their sum, [S, H].
  at::Tensor leave(const at::Tensor& summand_TH) const;
  // Of what every rank holds of all tokens, dim 0, this rank's [S, ...]. No gradient.
  at::Tensor own_tokens(const at::Tensor& x_T) const;
  // x itself, of which every rank sends back the whole gradient where a summand is expected.
  at::Tensor same_everywhere(const at::Tensor& x) const;

  // picked_N: log-probabilities at the targets under this rank's part of the vocabulary, minus
  // lse_N where the target is not in it; lse_N: log sum exp over this part. In place: over the
  // whole vocabulary.
  void join_softmax(at::Tensor& picked_N, at::Tensor& lse_N) const;
  // The mean of `count` of this rank's numbers each -> the mean of all `whole`, in place.
  void join_mean(at::Tensor& mean_N, int64_t count, int64_t whole) const;
  // Norms over this rank's numbers -> over all ranks', in place.
  void join_norm(at::Tensor& norm_O) const;
  // In place. No gradient.
  void sum(at::Tensor& x) const;
  // Each rank's part along the last dim -> [N, whole]. No gradient.
  at::Tensor join_columns(const at::Tensor& part_NV, const Cut& rows_of_weight) const;

 private:
  Group* group_ = nullptr;
  bool sequence_ = false;
};

}  // namespace lathe
