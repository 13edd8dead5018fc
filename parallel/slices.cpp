#include "parallel/slices.h"

namespace lathe {

void add_slices(const Bucket& bucket, int64_t begin, int64_t end, const at::Tensor& values,
                const at::Tensor& grads, std::vector<Slice>& slices) {
  for (size_t i = 0; i < bucket.parameters.size(); ++i) {
    const Parameter& parameter = *bucket.parameters[i];
    const int64_t offset = bucket.offsets[i];
    const int64_t from = std::max(begin, offset);
    const int64_t to = std::min(end, offset + parameter.value.numel());
    if (from >= to) continue;
    Slice slice{.name = parameter.name,
                .shape = parameter.value.sizes().vec(),
                .offset = from - offset,
                .value = values.slice(0, from - begin, to - begin),
                .grad = grads.slice(0, from - begin, to - begin)};
    if (!parameter.cut.is_whole()) slice.cut = parameter.cut;
    slice.counted = counted_pieces_of(parameter.cut, slice.offset, to - from);
    for (CutPiece& piece : slice.counted) piece.part -= slice.offset;
    slices.push_back(std::move(slice));
  }
}

void sum_partial_gradients(const std::vector<Parameter*>& parameters, Group& tp) {
  std::vector<at::Tensor> grads;
  std::vector<const Cut*> cuts;
  for (const Parameter* parameter : parameters) {
    if (!parameter->trained || !parameter->partial) continue;
    grads.push_back(parameter->grad);
    cuts.push_back(&parameter->cut);
  }
  const std::vector<at::Tensor> sums = summed_over(grads, cuts, tp);
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!sums[i].is_same(grads[i])) grads[i].copy_(sums[i]);
  }
}

}  // namespace lathe
