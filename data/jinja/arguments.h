#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/jinja/value.h"

// The arguments of a call, filter or test.
namespace lathe::jinja {

struct Arguments {
  Items positional;
  std::vector<std::pair<std::string_view, Value>>
      named;  // names live in the template or its context
};

// Arguments put to their parameters. Throws Fault for one too many, an unknown name, or one given
// twice.
class Bound {
 public:
  Bound(std::string_view callee, const Arguments& arguments,
        std::initializer_list<std::string_view> parameters);
  const Value* get(size_t index) const { return values_[index]; }  // nullptr: not given
  const Value& required(size_t index) const;
  int64_t integer(size_t index, int64_t otherwise) const;
  bool truth(size_t index, bool otherwise) const;
  std::string_view text(size_t index, std::string_view otherwise) const;

 private:
  [[noreturn]] void refuse(size_t index, std::string_view expected) const;
  std::string callee_;
  std::vector<std::string_view> parameters_;
  std::vector<const Value*> values_;
};

}  // namespace lathe::jinja
