#pragma once

#include <functional>

#include "parallel/mesh.h"
#include "parallel/sharding.h"
#include "trainer/hf_folder.h"

// Whole weights of a model that is cut over ranks, for one rank that writes them.
namespace lathe {

// Collective: rank 0 of the world does `work`, which asks for weights by name, in any order; every
// other rank brings its parts of what is asked for. Never is more than one of them whole (or, with
// zero 3, one unit). The parameters are the model's, and adapters' on it.
void with_whole_weights(Model& model, const std::vector<Parameter*>& parameters, Sharding& sharding,
                        Mesh& mesh, const std::function<void(const WeightSource&)>& work);

}  // namespace lathe
