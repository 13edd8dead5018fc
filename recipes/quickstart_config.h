#pragma once

#include <cstdint>

#include "trainer/config.h"

namespace lathe {

// How many questions of the timetable recipe quickstart writes.
struct QuickstartConfig {
  int64_t num_train = 8000, num_held_out = 200;
};

template <class V>
void fields(V& v, QuickstartConfig& c) {
  v("num_train", c.num_train, "questions to train on", at_least(1));
  v("num_held_out", c.num_held_out,
    "others, that exact match is measured on: 200 measure it within 7 points, 1000 within 3",
    at_least(1));
}

}  // namespace lathe
