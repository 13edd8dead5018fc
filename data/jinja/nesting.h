#pragma once

#include "data/jinja/parser.h"

namespace lathe::jinja {

class Parser::Nesting {
 public:
  static constexpr uint32_t kMost = 100;
  template <class Fail>
  Nesting(uint32_t& depth, Fail fail) : depth_(depth) {
    if (depth_ >= kMost) fail();
    ++depth_;
  }
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  uint32_t& depth_;
};

}  // namespace lathe::jinja
