#pragma once

#include <map>
#include <utility>

// In which order a model uses its units: what follows two uses is taken to be what followed them
// the last time. What it says depends on the uses alone, so it is the same on all ranks.
namespace lathe {

// How a unit is used: another pass has another order.
enum class UnitUse { kForward, kForwardAlone, kBackward };

class UnitOrder {
 public:
  static constexpr int kUnknown = -1;

  // A new pass: its first use has nothing to do with what was before.
  void begin_pass() { before_ = last_ = kUnknown; }
  // A unit is used now. Returns the one that will be used next, or kUnknown.
  int next_after(int unit, UnitUse use);

 private:
  int before_ = kUnknown, last_ = kUnknown;
  std::map<std::pair<int, int>, int> next_;
};

}  // namespace lathe
