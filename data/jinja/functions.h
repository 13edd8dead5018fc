#pragma once

#include <ctime>
#include <optional>
#include <string_view>

#include "data/jinja/arguments.h"

// The functions that every template sees.
namespace lathe::jinja {

struct FunctionName {
  std::string_view name;
};
inline constexpr FunctionName kFunctions[] = {
    {"range"}, {"dict"}, {"namespace"}, {"raise_exception"}, {"strftime_now"}};

// All but namespace(), whose result the rendering owns. now: what strftime_now tells.
Value call_function(std::string_view name, const Arguments& arguments,
                    const std::optional<std::tm>& now, Budget& budget);
Dict make_dict(const Arguments& arguments, Budget& budget);

}  // namespace lathe::jinja
