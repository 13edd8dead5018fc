#pragma once

#include <string>
#include <vector>

#include "launch/arguments.h"
#include "launch/model_arguments.h"
#include "trainer/generate/generate.h"

namespace lathe {

// The options that generate and chat share: how the next token is chosen, and what ends a text.
struct SamplingArguments {
  SamplingOptions options;
  std::vector<std::string> stop;
  int64_t seed = 0;
  std::string chat_template = "auto";

  void add_to(Arguments& arguments);
  // With the model's own stop ids.
  SamplingOptions of(const LoadedModel& loaded) const;
};

}  // namespace lathe
