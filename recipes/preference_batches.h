#pragma once

#include "data/loader/loader.h"
#include "parallel/mesh.h"
#include "recipes/parts.h"
#include "recipes/reference_log_probs.h"
#include "trainer/batch_source.h"
#include "trainer/lora.h"
#include "trainer/objective/preference.h"

// A loader's batches of preferences, completed with what the loss asks for: the reference's log-probabilities, and what
// only the whole step of all ranks can say (chosen tokens, KTO's KL term).
namespace lathe {

// std::invalid_argument for data sets of the other kind: pairs, or single answers with a label (unpaired).
void check_preference_data(const Datasets& datasets, bool unpaired);

// Rows are whole pairs or answers.
LoaderOptions preference_options(LoaderOptions options, bool unpaired, bool mismatched);

struct PreferenceSource {
  Mesh& mesh;
  Loader& loader;
  const PreferenceLoss& loss;
  Model& policy;
  const ReferenceLogProbs* table = nullptr;  // else the model is asked, if there is one
  Model* reference = nullptr;
  Lora* adapters = nullptr;                // of the policy, when it is the reference with them off
  bool meets = false;  // passes through policy and reference are collective: ranks without a target make them too
  std::function<void()> before_step = {};  // called before every step

  std::vector<Batch> next();  // every rank calls it

 private:
  SequenceLogProbs of_reference(const Batch& batch, double ld_alpha) const;
  void add_reference(Batch& batch) const;
  void add_step(std::vector<Batch>& batches) const;
  double kl_of(const Batch& batch) const;
};

// source must outlive what is returned.
BatchSource batches_of(PreferenceSource& source);

}  // namespace lathe
