#pragma once

#include <memory>

#include "parallel/sharding.h"
#include "recipes/run_config.h"
#include "trainer/hf_folder.h"

namespace lathe {

// A model that is asked and never trained, cut over the ranks as a trained one would be.
struct FrozenModel {
  std::unique_ptr<Sharding> sharding;  // outlives the model
  std::unique_ptr<Model> model;
};

FrozenModel freeze_model(UnfilledModel opened, const ParallelSection& config, Mesh& mesh);
// Of a model that has its values.
FrozenModel freeze_model(std::unique_ptr<Model> model, const ParallelSection& config, Mesh& mesh);

// The ranks that have to pass through a model together, for GenerateSettings::meeting and Passes;
// null: each as it likes.
Group* meeting_of(const ParallelSection& config, Mesh& mesh);

}  // namespace lathe
