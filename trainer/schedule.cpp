#include "trainer/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace lathe {
namespace {

// Steps as given, or a share of all.
int64_t steps_of(double given, int64_t total) {
  return static_cast<int64_t>(std::ceil(given < 1 ? given * static_cast<double>(total) : given));
}

// Where a step stands after the warm-up.
struct Place {
  int64_t step, warmup, total;

  double share(int64_t begin, int64_t end) const {
    const double done = static_cast<double>(step - begin);
    return std::min(1.0, done / static_cast<double>(std::max<int64_t>(1, end - begin)));
  }
  double share() const { return share(warmup, total); }
};

double half_wave(double share, double cycles) {
  return std::max(0.0, 0.5 * (1 + std::cos(2 * std::numbers::pi * cycles * share)));
}

// Each gives what is left of the way from the peak (1) to the end of the decay (0).
double constant(const ScheduleConfig&, Place) { return 1; }

double linear(const ScheduleConfig&, Place place) { return 1 - place.share(); }

double cosine(const ScheduleConfig& config, Place place) {
  if (config.num_cycles > 0) return half_wave(place.share(), config.num_cycles);
  return 0.5 * (1 + std::cos(std::numbers::pi * place.share()));
}

double restarts(const ScheduleConfig& config, Place place) {
  if (place.share() >= 1) return 0;
  const double cycles = config.num_cycles > 0 ? config.num_cycles : 1;
  return half_wave(std::fmod(cycles * place.share(), 1.0), 0.5);
}

double polynomial(const ScheduleConfig& config, Place place) {
  return std::pow(1 - place.share(), config.power);
}

double inverse_sqrt(const ScheduleConfig& config, Place place) {
  const int64_t scale = config.timescale > 0 ? config.timescale
                        : place.warmup > 0   ? place.warmup
                                             : 10'000;
  const auto steps = static_cast<double>(place.step + scale - place.warmup);
  return 1 / std::sqrt(steps / static_cast<double>(scale));
}

double stable_then_decay(const ScheduleConfig& config, Place place) {
  const int64_t begin =
      std::max(place.warmup, place.total - steps_of(config.decay_steps, place.total));
  if (place.step < begin) return 1;
  const double share = place.share(begin, place.total);
  if (config.decay_type == "linear") return 1 - share;
  if (config.decay_type == "1-sqrt") return 1 - std::sqrt(share);
  return half_wave(share, 0.5);
}

struct Shape {
  std::string_view name;
  double (*left)(const ScheduleConfig&, Place);
  bool warms_up = true;
};

constexpr std::array kShapes{Shape{"cosine", cosine},
                             Shape{"linear", linear},
                             Shape{"constant", constant, false},
                             Shape{"constant_with_warmup", constant},
                             Shape{"cosine_with_restarts", restarts},
                             Shape{"polynomial", polynomial},
                             Shape{"inverse_sqrt", inverse_sqrt},
                             Shape{"cosine_with_min_lr", cosine},
                             Shape{"warmup_stable_decay", stable_then_decay}};

}  // namespace

double schedule_factor(const ScheduleConfig& config, int64_t step, int64_t total) {
  const auto shape = std::ranges::find(kShapes, config.lr_scheduler_type, &Shape::name);
  if (shape == kShapes.end()) {
    std::string known;
    for (const Shape& each : kShapes) known += (known.empty() ? "" : ", ") + std::string(each.name);
    throw std::invalid_argument("schedule.lr_scheduler_type is \"" + config.lr_scheduler_type +
                                "\"; expected one of " + known);
  }
  const int64_t warmup = shape->warms_up ? steps_of(config.warmup_steps, total) : 0;
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(warmup);
  const double left = shape->left(config, {step, warmup, total});
  return config.min_lr_ratio + (1 - config.min_lr_ratio) * left;
}

}  // namespace lathe
