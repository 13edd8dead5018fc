#pragma once

namespace lathe {

// How many ranks a launcher (mpirun, srun) says there are; 0 when there is no launcher. `rank`: this one.
int launched_ranks(int* rank = nullptr);

}  // namespace lathe
