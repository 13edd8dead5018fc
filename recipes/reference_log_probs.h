#pragma once

#include <string>
#include <vector>

#include "data/loader/loader.h"
#include "parallel/mesh.h"
#include "recipes/parts.h"
#include "trainer/metrics.h"

// Log-probabilities of answers under the reference model, made once before training and kept in the cache for later runs.
namespace lathe {

class ReferenceLogProbs {
 public:
  // Takes up what the file at path holds, if it is there. items: of all data sets; documents: of each item.
  ReferenceLogProbs(std::string path, int64_t items, int64_t documents, Mesh& mesh);
  // What is missing for the first `steps` steps of the loader's first epoch, each rank its own; then all ranks have all,
  // and rank 0 keeps them. Every rank calls it. The loader is at its start afterwards. meeting: see Passes.
  void complete(Model& reference, Loader& loader, int64_t steps, Metrics& metrics, Group* meeting);
  // Of the batch's documents, [D] float64. std::runtime_error for one that is not known.
  at::Tensor of(const Batch& batch) const;

 private:
  bool knows(const Batch& batch) const;
  void share();

  std::string path_;
  int64_t documents_;
  Mesh& mesh_;
  at::Tensor values_;  // [items, documents] float64, NaN where it is not known
};

// The name of the file: over the model's weights, the type it computes in and the prepared data, which know tokenizer,
// template and truncation. Rank 0 reads the weights.
std::string reference_cache_path(const std::string& cache_dir, const std::string& model_folder, at::ScalarType dtype,
                                 const Datasets& datasets, Mesh& mesh);

}  // namespace lathe
