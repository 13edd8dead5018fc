#pragma once

#include <cstdint>
#include <string>

#include "trainer/config.h"

// The learning rate of a step, as a pure function.
namespace lathe {

struct ScheduleConfig {
  std::string lr_scheduler_type = "cosine";
  double warmup_steps = 0;
  double min_lr_ratio = 0;
};

template <class V>
void fields(V& v, ScheduleConfig& c) {
  v("lr_scheduler_type", c.lr_scheduler_type, "shape after the warm-up",
    one_of({"cosine", "linear", "constant", "constant_with_warmup"}));
  v("warmup_steps", c.warmup_steps, "steps of linear warm-up; below 1: a share of all steps", at_least(0));
  v("min_lr_ratio", c.min_lr_ratio, "the end of the decay, as a share of the peak", between(0, 1));
}

// Factor in [0, 1] of the peak for step (from 0) of total, as in Hugging Face: the first step of a warm-up has 0.
double schedule_factor(const ScheduleConfig& config, int64_t step, int64_t total);

}  // namespace lathe
