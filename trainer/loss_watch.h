#pragma once

#include <deque>
#include <optional>

// Tells a loss that stands out from those before it: one above the median of the last 200 by more
// than six times their median deviation from it.
namespace lathe {

class LossWatch {
 public:
  struct Spike {
    double usual;  // the median before it
  };
  // The next step's loss. Nothing is said before there are 20 to compare with.
  std::optional<Spike> see(double loss);

 private:
  std::deque<double> losses_;
};

}  // namespace lathe
