#pragma once

#include <string_view>

#include "data/jinja/arguments.h"

// The methods of str.
namespace lathe::jinja {

bool is_text_method(std::string_view name);
Value call_text_method(std::string_view name, std::string_view self, const Arguments& arguments,
                       Budget& budget);

// Also of use to filters. count: the most replacements, negative for any number.
Value replace_text(std::string_view text, std::string_view before, std::string_view after,
                   int64_t count, Budget& budget);
Value text_list(const std::vector<std::string_view>& parts, Budget& budget);

}  // namespace lathe::jinja
