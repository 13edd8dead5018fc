#pragma once

#include "data/curate/curate.h"

namespace lathe {

// Throws std::invalid_argument for options that can not be, and for rules over signals that
// nothing was given to measure.
void check_curate_options(const CurateOptions& options);

}  // namespace lathe
