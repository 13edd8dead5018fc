#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace lathe {

// A fault of one record: the next can be read. Any other fault of a file is plain
// std::invalid_argument, and what lies behind it is out of reach.
struct BadRecord : std::invalid_argument {
  BadRecord(int64_t where, const std::string& what) : std::invalid_argument(what), line(where) {}
  int64_t line;  // 1-based, where the record begins
};

}  // namespace lathe
