#pragma once

#include <string>
#include <vector>

#include "recipes/stage_lines.h"

namespace lathe {

// Held-out human rankings, JSON lines (plain, .gz or .zst):
//   {"prompt": "..." or [{"role", "content"}, ...], "responses": ["...", ...], "ranks": [1, 2, 2]}
// A rank for each response, two or more of them; 1 is the best, the same number as good.
struct Ranking {
  Line prompt;  // messages
  std::vector<std::string> responses;
  std::vector<double> ranks;
};

// Every fault is std::invalid_argument that begins with file:line.
std::vector<Ranking> read_rankings(const std::string& path);

}  // namespace lathe
