#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/lora.h"

// Which modules a config of PEFT means, by their names.
namespace lathe {

// PEFT's rule for lists: the name, or its end after a dot. With `pattern` also the whole name by a
// regular expression.
bool names_module(const std::vector<std::string>& keys, const std::string& module, bool pattern);

// Of rank_pattern and alpha_pattern: the first whose pattern matches the name or its end.
std::optional<double> pattern_value(const std::vector<PatternValue>& patterns,
                                    const std::string& module);

bool is_target(const PeftConfig& config, const std::string& module);

// A target of the list that matches none of the modules; "": all match.
std::string unmatched_target(const std::vector<std::string>& targets,
                             const std::vector<std::string>& modules);

}  // namespace lathe
