#pragma once

#include <cstdint>
#include <string>
#include <vector>

// lathe train --max-restarts N: a process that starts the run, and again when it was lost or crashed.
namespace lathe {

struct RestartOptions {
  int64_t max_restarts = 0;
  std::vector<std::string> command;  // all of it, with the launcher
  std::string output_dir;            // whose checkpoints tell progress
};

// Runs the command until it ends otherwise than by a lost rank (71) or a crash (a signal; 1: a launcher that lost a host),
// or N restarts are used, or 3 starts in a row left no newer checkpoint. SIGTERM, SIGINT and SIGUSR1 are passed on, and
// then nothing is started again. Returns the last exit code, 128 + N for signal N.
int run_with_restarts(const RestartOptions& options);

}  // namespace lathe
