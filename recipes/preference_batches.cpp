#include "recipes/preference_batches.h"

#include <fmt/core.h>

#include <algorithm>

namespace lathe {
namespace {

// Trained tokens of every other document, which are the chosen ones of pairs.
int64_t chosen_tokens(const Batch& batch) {
  int64_t count = 0;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); d += 2) {
    const at::Tensor targets = batch.targets.slice(0, batch.cu_seqlens[d], batch.cu_seqlens[d + 1]);
    count += (targets != kIgnore).sum().item<int64_t>();
  }
  return count;
}

}  // namespace

void check_preference_data(const Datasets& datasets, bool unpaired) {
  const std::string column = unpaired ? "answer" : "chosen";
  for (const auto& dataset : datasets) {
    for (const auto& shard : dataset->shards()) {
      const auto columns = shard->columns();
      if (std::find(columns.begin(), columns.end(), column) != columns.end()) continue;
      throw std::invalid_argument(fmt::format(
          "{}: holds the column {}, but {}; see shape: preference and shape: unpaired", dataset->folder(),
          columns.empty() ? "-" : columns[0],
          unpaired ? "single answers with a label are asked for"
                   : "pairs of a chosen and a rejected answer are asked for"));
    }
  }
}

LoaderOptions preference_options(LoaderOptions options, bool unpaired, bool mismatched) {
  options.packing = Packing::kOff;
  options.columns = {"chosen", "rejected"};
  if (!unpaired) return options;
  options.columns = {"answer"};
  options.label = "label";
  options.mismatched = mismatched;
  return options;
}

std::vector<Batch> PreferenceSource::next() {
  const at::NoGradGuard no_grad;
  if (before_step) before_step();
  std::vector<Batch> batches = loader.next();
  for (Batch& batch : batches) add_reference(batch);
  add_step(batches);
  for (Batch& batch : batches) batch.mismatched.clear();
  return batches;
}

void PreferenceSource::add_reference(Batch& batch) const {
  if (!loss.needs_reference() || (batch.num_targets == 0 && (table != nullptr || !meets))) return;
  if (table != nullptr) {
    batch.preferences.reference_D = table->of(batch);
    return;
  }
  const PreferenceConfig& config = loss.config();
  batch.preferences.reference_D =
      of_reference(batch.to(mesh.device()), config.ld_alpha).counted_D.cpu();
}

SequenceLogProbs PreferenceSource::of_reference(const Batch& batch, double ld_alpha) const {
  if (adapters == nullptr) return sequence_log_probs(*reference, batch, ld_alpha);
  adapters->set_enabled(false);
  SequenceLogProbs result = sequence_log_probs(policy, batch, ld_alpha);
  adapters->set_enabled(true);
  return result;
}

// The sum of log-ratios of mismatched answers.
double PreferenceSource::kl_of(const Batch& batch) const {
  const bool none = batch.mismatched.empty() || batch.mismatched[0].num_tokens() == 0;
  if (none && !meets) return 0;
  const Batch mismatched = (none ? make_batch({}) : batch.mismatched[0]).to(mesh.device());
  at::Tensor sum = sequence_log_probs(policy, mismatched).sums_D.sum();
  if (reference != nullptr || adapters != nullptr) sum = sum - of_reference(mismatched, 1).sums_D.sum();
  return sum.item<double>();
}

void PreferenceSource::add_step(std::vector<Batch>& batches) const {
  at::Tensor sums = at::zeros({3}, at::kDouble);
  auto* const at = sums.mutable_data_ptr<double>();
  for (const Batch& batch : batches) {
    at[0] += static_cast<double>(batch.num_targets);
    if (!loss.is_unpaired()) at[1] += static_cast<double>(chosen_tokens(batch));
    if (loss.needs_kl()) at[2] += kl_of(batch);
  }
  sums = sums.to(mesh.device());
  mesh.dp().all_reduce(sums, Reduce::kSum);
  sums = sums.cpu();
  const double items = std::max(1.0, sums[0].item<double>());
  for (Batch& batch : batches) {
    batch.preferences.chosen_tokens = sums[1].item<double>() / items;
    batch.preferences.kl = std::max(0.0, sums[2].item<double>() / items);
  }
}

BatchSource batches_of(PreferenceSource& source) {
  BatchSource batches = batches_of(source.loader);
  batches.next = [&source] { return source.next(); };
  return batches;
}

}  // namespace lathe
