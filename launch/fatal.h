#pragma once

#include <exception>
#include <functional>
#include <stdexcept>
#include <string>

// From an exception to one FATAL line and an exit code.
namespace lathe {

// An exception that knows its exit code.
struct Coded : std::runtime_error {
  Coded(int exit_code, const std::string& what) : std::runtime_error(what), code(exit_code) {}
  int code;
};

struct Fatal {
  int code = 0;
  std::string cause;
};

// What the exception means to the user (see exit_codes.h). It must not be null.
Fatal explain(std::exception_ptr error);

// One line on standard error: code, rank, host, cause, hint.
void print_fatal(const Fatal& fatal, int rank);

// Runs a phase in which a std::invalid_argument is a mistake of the given kind (kUsage while the config is read, ...).
void with_code(int code, const std::function<void()>& phase);

}  // namespace lathe
