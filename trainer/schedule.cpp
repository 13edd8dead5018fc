#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace lathe {
namespace {

int64_t warmup_length(const ScheduleConfig& config, int64_t total) {
  if (config.lr_scheduler_type == "constant") return 0;
  const double share = config.warmup_steps < 1 ? config.warmup_steps * static_cast<double>(total)
                                               : config.warmup_steps;
  return static_cast<int64_t>(std::ceil(share));
}

}  // namespace

double schedule_factor(const ScheduleConfig& config, int64_t step, int64_t total) {
  const int64_t warmup = warmup_length(config, total);
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(warmup);
  if (config.lr_scheduler_type.starts_with("constant")) return 1;
  const double progress =
      std::min(1.0, static_cast<double>(step - warmup) /
                        static_cast<double>(std::max<int64_t>(1, total - warmup)));
  double decayed;  // from 1 to 0
  if (config.lr_scheduler_type == "cosine") {
    decayed = 0.5 * (1 + std::cos(std::numbers::pi * progress));
  } else if (config.lr_scheduler_type == "linear") {
    decayed = 1 - progress;
  } else {
    throw std::invalid_argument("schedule.lr_scheduler_type is \"" + config.lr_scheduler_type +
                                "\"; expected cosine, linear, constant or constant_with_warmup");
  }
  return config.min_lr_ratio + (1 - config.min_lr_ratio) * decayed;
}

}  // namespace lathe
