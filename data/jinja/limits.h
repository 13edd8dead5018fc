#pragma once

#include <cstdint>

#include "data/jinja/error.h"

// What one rendering may use up. A template is foreign code: it has to end, in bounded time and
// memory.
namespace lathe::jinja {

struct Limits {
  uint64_t steps = 20'000'000;  // expressions, statements and elements looked at
  uint64_t bytes =
      512ull << 20;  // of all strings, lists and dicts that were made, freed ones included
  uint64_t output_bytes = 64 << 20;  // of the rendered text
  uint32_t depth = 400;      // of expressions, statements and macro calls inside one another
  uint64_t range = 100'000;  // elements of range(), as in Jinja's sandbox
};

// Counts down while a template renders; throws Fault when something is used up.
class Budget {
 public:
  explicit Budget(const Limits& limits)
      : limits_(limits), steps_(limits.steps), bytes_(limits.bytes) {}
  const Limits& limits() const { return limits_; }
  void step(uint64_t count = 1) {
    if (count > steps_) throw Fault("the template takes too many steps (limit reached)");
    steps_ -= count;
  }
  // Reading through text is cheap, but not free.
  void scan(uint64_t bytes) { step(1 + bytes / 64); }
  void make(uint64_t bytes) {
    if (bytes > bytes_) throw Fault("the template makes too much data (limit reached)");
    bytes_ -= bytes;
  }

 private:
  Limits limits_;
  uint64_t steps_;
  uint64_t bytes_;
};

}  // namespace lathe::jinja
