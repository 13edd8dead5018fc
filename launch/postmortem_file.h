#pragma once

#include <string>

#include "launch/monitor_link.h"

// What a monitor leaves of its rank when the world ends: OUTPUT_DIR/postmortem/rank-R.jsonl, a line for the rank and one for
// each of its last collectives. lathe postmortem reads them together.
namespace lathe {

inline constexpr const char* kPostmortemFolder = "postmortem";
inline constexpr const char* kRankStateNames[] = {"running", "stopped", "done", "failed", "killed"};

// A disk that refuses is not told of: more important things are said.
void write_postmortem(const WatchPage& page, const Beat& last, const std::string& verdict);

}  // namespace lathe
