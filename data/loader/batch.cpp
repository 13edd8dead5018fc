#include "data/loader/batch.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace lathe {

Batch Batch::to(at::Device device) const {
  Batch moved = *this;
  moved.tokens = tokens.to(device);
  moved.targets = targets.to(device);
  moved.weights = weights.to(device);
  moved.positions = positions.to(device);
  if (preferences.reference_D.defined())
    moved.preferences.reference_D = preferences.reference_D.to(device);
  if (teacher.defined()) {
    moved.teacher = {teacher.ids_NK.to(device), teacher.logp_NK.to(device),
                     teacher.tail_N.to(device)};
  }
  return moved;
}

Batch make_batch(const std::vector<DocumentView>& documents) {
  Batch batch;
  batch.cu_seqlens = {0};
  for (const DocumentView& document : documents) {
    if (document.length == 0) continue;
    batch.cu_seqlens.push_back(batch.cu_seqlens.back() + document.length - document.shared);
    batch.shared.push_back(document.shared);
  }
  const auto shares = [](int64_t count) { return count > 0; };
  if (std::none_of(batch.shared.begin(), batch.shared.end(), shares)) batch.shared.clear();
  const int64_t T = batch.cu_seqlens.back();
  batch.tokens = at::empty({T}, at::kLong);
  batch.targets = at::empty({T}, at::kLong);
  batch.weights = at::empty({T}, at::kFloat);
  batch.positions = at::empty({T}, at::kLong);
  auto* tokens = batch.tokens.mutable_data_ptr<int64_t>();
  auto* targets = batch.targets.mutable_data_ptr<int64_t>();
  auto* weights = batch.weights.mutable_data_ptr<float>();
  auto* positions = batch.positions.mutable_data_ptr<int64_t>();
  int64_t t = 0;
  for (const DocumentView& document : documents) {
    for (int64_t i = document.shared; i < document.length; ++i, ++t) {
      const bool predicts =
          i + 1 < document.length && (!document.trained || document.trained[i + 1] != 0);
      tokens[t] = document.tokens[i];
      targets[t] = predicts ? document.tokens[i + 1] : kIgnore;
      weights[t] = predicts ? 1.0f : 0.0f;
      positions[t] = i;
      batch.num_targets += predicts;
    }
  }
  return batch;
}

int64_t shared_beginning(const DocumentView& first, const DocumentView& next) {
  if (next.trained == nullptr) return 0;
  const auto parting = std::mismatch(first.tokens, first.tokens + first.length, next.tokens,
                                     next.tokens + next.length);
  const uint8_t* const target =
      std::find_if(next.trained + std::min<int64_t>(1, next.length), next.trained + next.length,
                   [](uint8_t trained) { return trained != 0; });
  return std::max<int64_t>(0, std::min(parting.second - next.tokens, target - next.trained - 1));
}

}  // namespace lathe
