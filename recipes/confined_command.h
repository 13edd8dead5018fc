#pragma once

#include <cstdint>
#include <string>

// A shell command that runs on what a model wrote: for a limited time, in limited memory, without
// the network.
namespace lathe {

struct CommandLimits {
  int64_t seconds = 10;  // of the clock, and of the processor
  int64_t mebibytes = 1024;
};

// Runs /bin/sh -c command in `folder`; its output is dropped, its standard input empty. True if it
// ended with 0 within the limits. On x86-64 and AArch64 no socket can be made in it (seccomp).
// Files that it may read or write are not limited. std::invalid_argument where the shell can not
// find or start the command (126, 127), std::runtime_error where it can not be confined.
bool run_confined(const std::string& command, const std::string& folder,
                  const CommandLimits& limits);

}  // namespace lathe
