#pragma once

#include <string>
#include <vector>

#include "data/tokenize/tokenizer.h"
#include "parallel/mesh.h"
#include "recipes/parts.h"
#include "trainer/metrics.h"
#include "trainer/model.h"

// What the model says while it learns: greedy completions of the beginnings of a few documents, on the console and in
// samples.jsonl of the run's folder.
namespace lathe {

class Samples {
 public:
  // The first `count` documents; a prompt ends where the first trained token begins, or after 16 tokens of a document
  // that is trained from its start.
  Samples(const Datasets& datasets, int64_t count, const Tokenizer& tokenizer, std::vector<int64_t> stop_ids);

  // Collective: every rank generates, rank 0 writes into output_dir.
  void show(Model& model, int64_t step, const std::string& output_dir, Mesh& mesh, Metrics& metrics) const;

 private:
  struct Prompt {
    std::vector<int64_t> ids;
    std::string text;
  };
  const Tokenizer& tokenizer_;
  std::vector<int64_t> stop_ids_;
  std::vector<Prompt> prompts_;
};

}  // namespace lathe
