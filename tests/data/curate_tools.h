#pragma once

#include <string>
#include <vector>

#include "data/curate/filter.h"

namespace lathe {

// All signals of one text.
struct SignalsOf {
  explicit SignalsOf(const std::string& text, const Conversation* chat = nullptr,
                     std::vector<std::string> answers = {}, const Resources& resources = {})
      : values(num_signals()) {
    Document document{text, "", chat, std::move(answers)};
    SplitText split;
    SimpleText simple;
    Workspace work;
    split.split(text);
    simple.make(text);
    measure_all({document, split, simple, work, resources, findings}, values.data());
  }
  double operator[](const char* name) const { return values[signal_index(name)]; }

  std::vector<double> values;
  Findings findings;
};

}  // namespace lathe
