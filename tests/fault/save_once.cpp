// save_once save FOLDER STEP: saves a small state whose values tell the step; 74 when it failed.
// save_once check FOLDER STEP...: the newest checkpoint must be one of these steps and hold that
// step's values, all of them; then the next save must succeed.
#include <filesystem>
#include <iostream>
#include <vector>

#include "parallel/local_group.h"
#include "trainer/checkpoint.h"

namespace lathe {
namespace {

std::vector<StateSlice> state_of(int64_t step) {
  std::vector<StateSlice> slices;
  for (const char* name : {"master/a", "master/b"}) {
    slices.push_back({.name = name,
                      .shape = {300},
                      .offset = 0,
                      .values = at::arange(300, at::kFloat) + 1000. * static_cast<double>(step)});
  }
  return slices;
}

void save(const std::string& folder, int64_t step) {
  Mesh mesh(solo_group(), {});
  save_checkpoint(folder, step, mesh, state_of(step), std::to_string(step));
}

int check(const std::string& folder, const std::vector<int64_t>& allowed) {
  const auto group = solo_group();
  const auto newest = open_newest_checkpoint(
      folder, *group, [](const std::string& note) { std::cerr << note << "\n"; });
  const int64_t step = newest ? newest->step() : 0;
  if (std::find(allowed.begin(), allowed.end(), step) == allowed.end()) {
    std::cerr << "the newest checkpoint is of step " << step << "\n";
    return 1;
  }
  std::vector<StateSlice> found = state_of(0);
  newest->fill(found);
  const std::vector<StateSlice> expected = state_of(step);
  for (size_t i = 0; i < found.size(); ++i) {
    if (at::equal(found[i].values, expected[i].values)) continue;
    std::cerr << found[i].name << " is not that of step " << step << "\n";
    return 1;
  }
  save(folder, allowed.back());
  prune_checkpoints(folder, 1);
  const auto entries = std::filesystem::directory_iterator(folder);
  return std::distance(begin(entries), end(entries)) == 1 ? 0 : 1;
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 3) return 64;
  try {
    if (words[0] == "save") {
      lathe::save(words[1], std::stoll(words[2]));
      return 0;
    }
    std::vector<int64_t> steps;
    for (size_t i = 2; i < words.size(); ++i) steps.push_back(std::stoll(words[i]));
    return lathe::check(words[1], steps);
  } catch (const lathe::SaveFailed& error) {
    std::cerr << error.what() << "\n";
    return 74;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 65;
  }
}
