#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <sys/wait.h>

// Runs a shell command as a user would, with standard error joined to standard output.
namespace lathe {

struct ProgramResult {
  int code = -1;
  std::string output;
};

inline ProgramResult run_program(const std::string& command) {
  ProgramResult result;
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return result;
  std::array<char, 4096> buffer;
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) result.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

inline ProgramResult run_lathe(const std::string& arguments) { return run_program(std::string(LATHE_BINARY) + " " + arguments); }

}  // namespace lathe
