#include "launch/launched.h"

#include <cstdlib>
#include <utility>

namespace lathe {

int launched_ranks(int* rank) {
  for (const auto& [size, own] : {std::pair{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                  std::pair{"PMI_SIZE", "PMI_RANK"},
                                  std::pair{"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}}) {
    const char* ranks = std::getenv(size);
    if (!ranks || !*ranks) continue;
    const char* number = std::getenv(own);
    if (rank) *rank = number ? std::atoi(number) : 0;
    return std::atoi(ranks);
  }
  if (rank) *rank = 0;
  return 0;
}

}  // namespace lathe
