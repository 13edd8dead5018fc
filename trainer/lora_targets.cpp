#include "trainer/lora_targets.h"

#include <algorithm>
#include <regex>
#include <stdexcept>

namespace lathe {
namespace {

bool is_end_of(const std::string& key, const std::string& module) {
  return module == key || module.ends_with("." + key);
}

bool is_match(const std::string& pattern, const std::string& text) {
  try {
    return std::regex_match(text, std::regex(pattern));
  } catch (const std::regex_error& error) {
    throw std::invalid_argument("lora: `" + pattern +
                                "` is no regular expression: " + error.what());
  }
}

// The number of the layer that a module is of: the first part of the name that is a number.
std::optional<int64_t> layer_of(const std::string& module) {
  static const std::regex number(R"(\.(\d{1,9})\.)");
  std::smatch match;
  if (!std::regex_search(module, match, number)) return std::nullopt;
  return std::stoll(match[1]);
}

}  // namespace

bool names_module(const std::vector<std::string>& keys, const std::string& module, bool pattern) {
  return std::ranges::any_of(keys, [&](const std::string& key) {
    return is_end_of(key, module) || (pattern && is_match(key, module));
  });
}

std::optional<double> pattern_value(const std::vector<PatternValue>& patterns,
                                    const std::string& module) {
  for (const PatternValue& each : patterns) {
    if (is_match("(.*\\.)?(" + each.pattern + ")", module)) return each.value;
  }
  return std::nullopt;
}

bool is_target(const PeftConfig& config, const std::string& module) {
  if (names_module(config.exclude_modules, module, true)) return false;
  if (!config.layers_to_transform.empty()) {
    const std::optional<int64_t> layer = layer_of(module);
    if (!layer || !std::ranges::count(config.layers_to_transform, *layer)) return false;
  }
  const std::vector<std::string>& targets = config.lora.lora_target_modules;
  if (std::ranges::count(targets, "all-linear")) return true;
  return names_module(targets, module, true);
}

std::string unmatched_target(const std::vector<std::string>& targets,
                             const std::vector<std::string>& modules) {
  for (const std::string& target : targets) {
    const bool found =
        target == "all-linear" || std::ranges::any_of(modules, [&](const std::string& module) {
          return names_module({target}, module, true);
        });
    if (!found) return target;
  }
  return "";
}

}  // namespace lathe
