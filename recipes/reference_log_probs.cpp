#include "recipes/reference_log_probs.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "data/shards/hash.h"
#include "recipes/model_hash.h"
#include "trainer/agree.h"
#include "trainer/objective/preference.h"
#include "trainer/passes.h"
#include "trainer/safetensors.h"

namespace lathe {
namespace fs = std::filesystem;

ReferenceLogProbs::ReferenceLogProbs(std::string path, int64_t items, int64_t documents, Mesh& mesh)
    : path_(std::move(path)), documents_(documents), mesh_(mesh) {
  values_ = at::full({items, documents}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
  if (mesh_.world().rank() == 0 && fs::exists(path_)) {
    const SafetensorsFile file(path_);
    const at::Tensor kept = file.contains("logps") ? file.tensor("logps") : at::Tensor();
    // A file of another size is of another version: made anew.
    if (kept.defined() && kept.sizes() == values_.sizes() && kept.scalar_type() == at::kDouble) values_.copy_(kept);
  }
  at::Tensor shared = values_.to(mesh_.device());
  mesh_.world().broadcast(shared, 0);
  values_ = shared.cpu();
}

bool ReferenceLogProbs::knows(const Batch& batch) const {
  return batch.preferences.items.empty() || !of(batch).isnan().any().item<bool>();
}

void ReferenceLogProbs::share() {
  const at::Tensor known = values_.isnan().logical_not();
  at::Tensor sums = at::where(known, values_, at::zeros_like(values_)).contiguous().to(mesh_.device());
  at::Tensor counts = known.to(at::kDouble).contiguous().to(mesh_.device());
  mesh_.dp().all_reduce(sums, Reduce::kSum);
  mesh_.dp().all_reduce(counts, Reduce::kSum);
  values_ = (sums / counts).cpu();  // 0 / 0 where nobody knows
}

void ReferenceLogProbs::complete(Model& reference, Loader& loader, int64_t steps, Metrics& metrics, Group* meeting) {
  const at::NoGradGuard no_grad;
  const at::Tensor before = values_.clone();
  int64_t made = 0;
  Passes passes(meeting);
  loader.seek({});
  for (int64_t step = 0; step < std::min(steps, loader.steps_per_epoch()); ++step) {
    for (const Batch& batch : loader.next()) {
      if (knows(batch)) continue;
      passes.announce();
      const at::Tensor sums = sequence_log_probs(reference, batch.to(mesh_.device())).sums_D.cpu();
      values_.index_copy_(0, at::tensor(batch.preferences.items, at::kLong), sums.view({-1, documents_}));
      made += std::ssize(batch.preferences.items);
    }
  }
  passes.finish([&] { sequence_log_probs(reference, make_batch({}).to(mesh_.device())); });
  loader.seek({});
  made = sum_over(mesh_.dp(), {made})[0];
  metrics.note(made == 0 ? "reference: log-probabilities taken from the cache, " + path_
                         : fmt::format("reference: log-probabilities of {} items computed, kept in {}", made, path_));
  if (made == 0) return;
  share();
  // What was known before counts as it was: the mean of ranks' copies may differ in the last bit.
  values_ = at::where(before.isnan(), values_, before);
  if (mesh_.world().rank() != 0) return;
  fs::create_directories(fs::path(path_).parent_path());
  write_safetensors(path_, {{"logps", values_}});
}

at::Tensor ReferenceLogProbs::of(const Batch& batch) const {
  return values_.index_select(0, at::tensor(batch.preferences.items, at::kLong)).flatten();
}

std::string reference_cache_path(const std::string& cache_dir, const std::string& model_folder, at::ScalarType dtype,
                                 const Datasets& datasets, Mesh& mesh) {
  std::string key;
  if (mesh.world().rank() == 0) {
    Hasher hasher;
    hasher.add(fmt::format("1 {} {}\n", hash_of_model(model_folder), c10::toString(dtype)));
    for (const auto& dataset : datasets) hasher.add(manifest_text(dataset->manifest()));
    key = hex16(hasher.digest());
  }
  return cache_dir + "/reference/" + broadcast_bytes(mesh.world(), key, 0) + ".safetensors";
}

}  // namespace lathe
