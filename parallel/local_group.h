#pragma once

#include <functional>
#include <memory>

#include "parallel/group.h"

// Ranks as threads of one process, on CPU tensors in shared memory: for laptops and tests. Peers
// read each other's tensors where they lie; nothing is copied that the caller did not ask for.
namespace lathe {

// Runs body on `ranks` threads, each with its world group; see run_world for what happens when one
// throws. A rank that returns while its peers still need it is lost to them as well. One rank runs
// in the calling thread.
void run_local(int ranks, const std::function<void(std::unique_ptr<Group>)>& body);

// The group of one, without a thread: the identity, on any device.
std::unique_ptr<Group> solo_group(at::Device device = at::kCPU);

}  // namespace lathe
