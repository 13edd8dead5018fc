#include <stdexcept>

#include "parallel/nccl_group.h"

namespace lathe {

std::unique_ptr<Group> nccl_group(std::unique_ptr<Group>, at::Device, bool) {
  throw std::invalid_argument(
      "this build has no NCCL; build with `cmake --preset cuda`, or use parallel.device=cpu");
}

std::string nccl_version() { return "none"; }

}  // namespace lathe
