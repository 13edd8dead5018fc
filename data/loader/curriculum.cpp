#include "data/loader/curriculum.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace lathe {

std::vector<int64_t> first_steps(const Curriculum& curriculum, int64_t steps_per_epoch) {
  const double total =
      curriculum.max_steps > 0
          ? static_cast<double>(curriculum.max_steps)
          : std::ceil(curriculum.num_train_epochs * static_cast<double>(steps_per_epoch));
  std::vector<int64_t> steps;
  for (const double start : curriculum.starts) {
    if (!(start >= 0 && start < 1e15))
      throw std::invalid_argument(fmt::format(
          "stages: one begins at {}, expected a share of all steps below 1 or a step", start));
    const double step = start < 1 ? std::round(start * total) : start;
    if (step != std::floor(step))
      throw std::invalid_argument(
          fmt::format("stages: one begins at step {}, expected a whole number", start));
    const auto first = static_cast<int64_t>(step);
    if (steps.empty() ? first != 0 : first <= steps.back())
      throw std::invalid_argument(fmt::format(
          "stages: stage {} of {} begins at step {} of {}; expected {}", steps.size() + 1,
          curriculum.starts.size(), first, total,
          steps.empty() ? "0, for it is the first"
                        : fmt::format("a later one than {}, where the stage before it begins",
                                      steps.back())));
    steps.push_back(first);
  }
  return steps;
}

}  // namespace lathe
