#include "launch/arguments.h"

#include <CLI/CLI.hpp>
#include <iostream>

namespace lathe {

struct Arguments::Parts {
  CLI::App app;
  std::string footer;
};

Arguments::Arguments(const std::string& verb, const std::string& description) : parts_(new Parts) {
  parts_->app.name("lathe " + verb);
  parts_->app.description(description);
  parts_->app.get_formatter()->column_width(34);
}
Arguments::~Arguments() = default;

void Arguments::positional(const std::string& name, std::string& value, const std::string& help, bool required) {
  parts_->app.add_option(name, value, help)->required(required);
}
void Arguments::positionals(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  parts_->app.add_option(name, values, help);
}
void Arguments::option(const std::string& name, std::string& value, const std::string& help, bool required) {
  parts_->app.add_option(name, value, help)->required(required);
}
void Arguments::option(const std::string& name, int64_t& value, const std::string& help) {
  parts_->app.add_option(name, value, help)->capture_default_str();
}
void Arguments::option(const std::string& name, double& value, const std::string& help) {
  parts_->app.add_option(name, value, help)->capture_default_str();
}
void Arguments::option(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  parts_->app.add_option(name, values, help);
}
void Arguments::flag(const std::string& name, bool& value, const std::string& help) {
  parts_->app.add_flag(name, value, help);
}
void Arguments::footer(std::string text) { parts_->footer = std::move(text); }

bool Arguments::parse(int argc, char** argv) {
  try {
    parts_->app.parse(argc - 1, argv + 1);
  } catch (const CLI::CallForHelp&) {
    std::cout << parts_->app.help() << parts_->footer;
    return false;
  } catch (const CLI::ParseError& error) {
    throw UsageError(parts_->app.get_name() + ": " + error.what() + "; " + parts_->app.get_name() + " --help tells more");
  }
  return true;
}

}  // namespace lathe
