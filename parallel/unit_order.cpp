#include "parallel/unit_order.h"

namespace lathe {
namespace {

constexpr int kUses = 3;

}  // namespace

int UnitOrder::next_after(int unit, UnitUse use) {
  const int now = unit * kUses + static_cast<int>(use);
  if (last_ != kUnknown) next_[{before_, last_}] = now;
  before_ = last_;
  last_ = now;
  const auto found = next_.find({before_, last_});
  return found == next_.end() ? kUnknown : found->second / kUses;
}

}  // namespace lathe
