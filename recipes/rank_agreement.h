#pragma once

#include <cstdint>
#include <optional>
#include <vector>

// How far two orders of the same answers agree.
namespace lathe {

// Kendall's tau-b: concordant less discordant pairs, over the geometric mean of the numbers of
// pairs that each side tells apart. Without ties, over all pairs. None where a side tells none
// apart.
std::optional<double> kendall_tau(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace lathe
