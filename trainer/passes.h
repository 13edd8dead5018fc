#pragma once

#include <functional>

#include "parallel/group.h"
#include "trainer/agree.h"

namespace lathe {

// Ranks that pass through a model without training it, each as often as it has work. Where every
// pass brings weights together (Sharding::meets_in_passes), all have to pass equally often: who is
// done keeps the others company.
class Passes {
 public:
  // group: the ranks that the weights lie on; null: nobody waits for this rank.
  explicit Passes(Group* group) : group_(group) {}

  // Before each pass of this rank's own.
  void announce() {
    if (group_ != nullptr) any(*group_, true);
  }
  // This rank has no more of them. pass(): one whose result nobody needs.
  void finish(const std::function<void()>& pass) {
    while (group_ != nullptr && any(*group_, false)) pass();
  }

 private:
  Group* group_;
};

}  // namespace lathe
