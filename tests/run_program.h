#pragma once

#include <cstdlib>
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

// The Python with the reference's wheels: LATHE_TEST_PYTHON, else python3.
inline std::string test_python() {
  const char* named = std::getenv("LATHE_TEST_PYTHON");
  return named ? named : "python3";
}
// modules: "peft, torch". A test of theirs that does not have them is NOT RUN.
inline bool python_has(const std::string& modules) {
  return run_program(test_python() + " -c 'import " + modules + "'").code == 0;
}

}  // namespace lathe
