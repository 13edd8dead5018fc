#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

// What goes wrong with a template: always with the place in its source.
namespace lathe::jinja {

// A place in a template's source, both counted from one; columns count code points.
struct Position {
  uint32_t line = 1;
  uint32_t column = 1;
};

// what() is "<where>:<line>:<column>: <message>"; where is the name that the template was given.
class Error : public std::invalid_argument {
 public:
  Error(const std::string& where, Position at, const std::string& message);
  Position at() const { return at_; }
  const std::string& message() const { return message_; }

 private:
  Position at_;
  std::string message_;
};

// The template itself called raise_exception(message): the conversation does not suit it.
class Raised : public Error {
  using Error::Error;
};

// A fault in a value, filter or operator, which do not know where in the source they are used.
// Never leaves this room: the evaluator adds the place and throws Error.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct RaisedFault : Fault {
  using Fault::Fault;
};

}  // namespace lathe::jinja
