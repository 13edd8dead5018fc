#pragma once

#include <cstdint>
#include <string>

#include "trainer/config.h"

// The learning rate of a step, as a pure function: Hugging Face's schedules.
namespace lathe {

struct ScheduleConfig {
  std::string lr_scheduler_type = "cosine";
  double warmup_steps = 0;
  double min_lr_ratio = 0;
  double decay_steps = 0;
  std::string decay_type = "cosine";
  double num_cycles = 0;
  double power = 1;
  int64_t timescale = 0;
};

template <class V>
void fields(V& v, ScheduleConfig& c) {
  v("lr_scheduler_type", c.lr_scheduler_type, "shape after the warm-up",
    one_of({"cosine", "linear", "constant", "constant_with_warmup", "cosine_with_restarts",
            "polynomial", "inverse_sqrt", "cosine_with_min_lr", "warmup_stable_decay"}));
  v("warmup_steps", c.warmup_steps, "steps of linear warm-up; below 1: a share of all steps",
    at_least(0));
  v("min_lr_ratio", c.min_lr_ratio, "the end of the decay, as a share of the peak", between(0, 1));
  v("decay_steps", c.decay_steps,
    "warmup_stable_decay: steps of the decay at the end; below 1: a share of all steps",
    at_least(0));
  v("decay_type", c.decay_type, "warmup_stable_decay: shape of the decay",
    one_of({"cosine", "linear", "1-sqrt"}));
  v("num_cycles", c.num_cycles,
    "cosine_with_restarts: falls from the peak (default 1); cosine, cosine_with_min_lr: waves "
    "(default 0.5)",
    at_least(0));
  v("power", c.power, "polynomial: exponent of the decay", above(0));
  v("timescale", c.timescale,
    "inverse_sqrt: steps after which the rate is down to 0.7; 0: as long as the warm-up, else 10000",
    at_least(0));
}

inline std::vector<Conflict> conflicts(const ScheduleConfig& c) {
  if (c.lr_scheduler_type != "warmup_stable_decay" || c.decay_steps > 0) return {};
  return {{{"lr_scheduler_type", "decay_steps"},
           "warmup_stable_decay needs decay_steps, for instance 0.2"}};
}

// Factor in [0, 1] of the peak for step (from 0) of total, as in Hugging Face: the first step of a
// warm-up has 0.
double schedule_factor(const ScheduleConfig& config, int64_t step, int64_t total);

}  // namespace lathe
