#pragma once

#include <string>
#include <string_view>

// The inside of a string literal, with Python's escapes replaced. Throws Fault for a broken one.
namespace lathe::jinja {

std::string unescape(std::string_view literal);

}  // namespace lathe::jinja
