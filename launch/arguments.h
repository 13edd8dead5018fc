#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

// The command line of one verb. CLI11 stays in arguments.cpp: its header costs seconds a file.
namespace lathe {

// A mistake on the command line; main prints it and exits with kUsage.
struct UsageError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

class Arguments {
 public:
  Arguments(const std::string& verb, const std::string& description);
  ~Arguments();

  void positional(const std::string& name, std::string& value, const std::string& help, bool required = true);
  void positionals(const std::string& name, std::vector<std::string>& values, const std::string& help);
  void option(const std::string& name, std::string& value, const std::string& help, bool required = false);
  void option(const std::string& name, int64_t& value, const std::string& help);
  void option(const std::string& name, double& value, const std::string& help);
  void option(const std::string& name, std::vector<std::string>& values, const std::string& help);
  void flag(const std::string& name, bool& value, const std::string& help);
  // Printed below the options by --help.
  void footer(std::string text);

  // argv[0] is the program, argv[1] the verb. False: help was asked for and printed. Throws UsageError.
  bool parse(int argc, char** argv);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe
