#pragma once

#include <string>
#include <string_view>
#include <vector>

// "did you mean": the known word that is the fewest edits away from what was typed.
namespace lathe {

// Letters inserted, deleted, changed or swapped with their neighbour, each counted as one.
int edit_distance(std::string_view a, std::string_view b);

// The nearest candidate (the first of equals), or "" when none is near: more than a third of the
// letters differ.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// "; did you mean `learning_rate`?", or "" when nothing is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace lathe
