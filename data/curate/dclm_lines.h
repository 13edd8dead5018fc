#pragma once

#include <string>

#include "data/curate/document.h"

namespace lathe {

// Whether the line modifiers of DCLM-Baseline (after RefinedWeb) drop a line: shouting, numbers,
// counters ("3 likes"), single words, buttons.
bool is_dclm_noise(const SplitText& split, const TextLine& line);

// The document without such lines.
std::string dclm_text(const Measured& measured);

}  // namespace lathe
