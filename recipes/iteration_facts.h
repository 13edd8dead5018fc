#pragma once

#include "recipes/stage_lines.h"

namespace lathe {

// What there is to know of an iteration before it trains.
Line describe(const JsonLines& prompts, const JsonLines& answers, const JsonLines& scores,
              const JsonLines& pairs);

}  // namespace lathe
