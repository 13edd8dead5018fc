#pragma once

#include <functional>
#include <memory>

#include "parallel/group.h"

// Ranks as threads of one process, on CPU tensors in shared memory: for laptops and tests. With one rank it is the identity.
namespace lathe {

// Runs body on `ranks` threads, each with its world group; see run_world for what happens when one throws.
void run_local(int ranks, const std::function<void(std::unique_ptr<Group>)>& body);

// The group of one, without a thread.
std::unique_ptr<Group> solo_group(at::Device device = at::kCPU);

}  // namespace lathe
