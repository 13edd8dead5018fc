#include "trainer/freeze.h"

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <stdexcept>

namespace lathe {
namespace {

bool begins_with(const std::string& name, const std::string& pattern, const char* key) {
  try {
    return std::regex_search(name, std::regex(pattern), std::regex_constants::match_continuous);
  } catch (const std::regex_error& error) {
    throw std::invalid_argument(std::string("model.") + key + ": `" + pattern +
                                "` is no regular expression: " + error.what());
  }
}

void check_used(const std::vector<std::string>& patterns, const char* key,
                const std::vector<Parameter*>& parameters) {
  for (const std::string& pattern : patterns) {
    if (std::ranges::none_of(
            parameters, [&](const Parameter* p) { return begins_with(p->name, pattern, key); })) {
      throw std::invalid_argument(std::string("model.") + key + ": `" + pattern +
                                  "` is the beginning of no weight's name; they look like " +
                                  parameters[parameters.size() / 2]->name);
    }
  }
}

bool any_begins(const std::vector<std::string>& patterns, const std::string& name,
                const char* key) {
  return std::ranges::any_of(
      patterns, [&](const std::string& pattern) { return begins_with(name, pattern, key); });
}

// The block that a weight is of; -1: none.
int64_t block_of(const std::string& name) {
  static const std::regex number(R"(\.(?:layers|h)\.(\d{1,9})\.)");
  std::smatch match;
  return std::regex_search(name, match, number) ? std::stoll(match[1]) : -1;
}

bool in_trained_blocks(const std::string& name, int64_t trainable, int64_t blocks) {
  if (trainable == 0) return true;
  const int64_t block = block_of(name);
  if (block < 0) return false;
  return trainable > 0 ? block >= blocks - trainable : block < -trainable;
}

}  // namespace

void freeze_parameters(Model& model, const FreezeConfig& config) {
  const std::vector<Parameter*> parameters = model.parameters();
  const int64_t blocks = model.config().num_hidden_layers;
  check_used(config.freeze, "freeze", parameters);
  check_used(config.unfrozen_parameters, "unfrozen_parameters", parameters);
  if (std::abs(config.trainable_layers) > blocks) {
    throw std::invalid_argument("model.freeze_trainable_layers is " +
                                std::to_string(config.trainable_layers) + " but the model has " +
                                std::to_string(blocks) + " layers");
  }
  int64_t trained = 0;
  for (Parameter* parameter : parameters) {
    const std::string& name = parameter->name;
    const bool chosen = config.unfrozen_parameters.empty()
                            ? in_trained_blocks(name, config.trainable_layers, blocks)
                            : any_begins(config.unfrozen_parameters, name, "unfrozen_parameters");
    parameter->trained = chosen && !any_begins(config.freeze, name, "freeze");
    parameter->value.set_requires_grad(parameter->trained);
    trained += parameter->trained;
  }
  if (trained == 0)
    throw std::invalid_argument("model: freeze and its kin leave no weight to train");
}

}  // namespace lathe
