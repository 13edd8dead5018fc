#pragma once

#include <optional>

// A small process beside every rank that mpirun started: it is what mpirun knows, and the rank is its child. It needs
// neither MPI nor CUDA, so it can name and end a rank that hangs, is stopped or was killed.
//
// Monitors talk over TCP with that of rank 0, which decides. On a verdict it prints one FATAL line; every monitor then
// writes its rank's last collectives to OUTPUT_DIR/postmortem/rank-R.jsonl, kills the rank and ends with 71. A rank that
// ends by itself, or with a message of its own, does so as without a monitor.
namespace lathe {

// Forks. In the rank: nothing, and watch_page() is there. In the monitor: the exit code, once the rank has ended.
std::optional<int> watch_over_rank(int rank);

}  // namespace lathe
