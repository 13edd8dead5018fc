#include <fmt/format.h>

#include <algorithm>

#include "recipes/number_text.h"
#include "recipes/parts.h"

namespace lathe {
namespace {

void check_recipe(const RunConfig& config, const std::string& key) {
  if (config.recipe == "sft" || config.recipe == "pretrain") return;
  throw std::invalid_argument(
      fmt::format("{} there for the recipes sft and pretrain only, not for {}; leave it out", key, config.recipe));
}

}  // namespace

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
  if (!curriculum.starts.empty()) check_recipe(config, "data.stages are");
  return curriculum;
}

DocumentOrder document_order_of(const RunConfig& config) {
  const DataSection& data = config.data;
  const auto is_ordered = [](const DataSource& source) { return !source.order_by.empty(); };
  if (std::none_of(data.train.begin(), data.train.end(), is_ordered)) {
    if (data.order.empty()) return DocumentOrder::kNone;
    throw std::invalid_argument(fmt::format(
        "data.order is {}, but no data.order_by says by what; give it, or leave data.order out", data.order));
  }
  const auto other = std::find_if_not(data.train.begin(), data.train.end(), is_ordered);
  if (other != data.train.end()) {
    throw std::invalid_argument(fmt::format(
        "data.train: {} has no order_by, but others have; give all of them one, or none", other->path));
  }
  check_recipe(config, "data.order_by is");
  return data.order == "descending" ? DocumentOrder::kDescending : DocumentOrder::kAscending;
}

}  // namespace lathe
