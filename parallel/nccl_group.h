#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "parallel/group.h"

// Ranks with one GPU each, over NCCL. Defined by nccl_group.cpp or, in a build without CUDA, by
// no_nccl.cpp, which throws std::invalid_argument. Two promises of group.h are weaker here: NCCL
// chooses the order of a sum (always the same one for the same layout), and different calls at the
// ranks hang instead of being named.
namespace lathe {

// host: the same ranks on the CPU; it carries what NCCL needs to find its peers. device: this
// rank's GPU. Ranks that have the same one are named by std::invalid_argument, unless may_share_gpus
// (NCCL_MULTI_RANK_GPU_ENABLE=1 tells NCCL 2.30 and later to allow it).
std::unique_ptr<Group> nccl_group(std::unique_ptr<Group> host, at::Device device,
                                  bool may_share_gpus = false);
// "none" in a build without it.
std::string nccl_version();

}  // namespace lathe
