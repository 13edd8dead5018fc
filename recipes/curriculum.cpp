#include <fmt/format.h>

#include "recipes/number_text.h"
#include "recipes/parts.h"

namespace lathe {

Curriculum curriculum_of(const RunConfig& config) {
  const DataSection& data = config.data;
  Curriculum curriculum{.starts = {},
                        .weights = {},
                        .num_train_epochs = config.train.num_train_epochs,
                        .max_steps = config.train.max_steps};
  for (const std::string& start : data.stages) curriculum.starts.push_back(number_of(start, "config", "data.stages"));
  curriculum.weights.resize(curriculum.starts.size());
  for (const DataSource& source : data.train) {
    if (!source.weights.empty() && source.weights.size() != data.stages.size()) {
      throw std::invalid_argument(fmt::format("data.train: {} has {} weights, but data.stages names {}; give one for each stage",
                                              source.path, source.weights.size(), data.stages.size()));
    }
    for (size_t s = 0; s < data.stages.size(); ++s) {
      const double weight =
          source.weights.empty() ? source.weight : number_of(source.weights[s], "config", "data.train: weights of " + source.path);
      curriculum.weights[s].push_back(weight);
    }
  }
  if (!curriculum.starts.empty() && config.recipe != "sft" && config.recipe != "pretrain") {
    throw std::invalid_argument("data.stages are there for the recipes sft and pretrain only, not for " + config.recipe +
                                "; leave them out");
  }
  return curriculum;
}

}  // namespace lathe
