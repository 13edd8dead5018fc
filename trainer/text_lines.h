#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace lathe {

// Every line of a text file (plain, .gz or .zst; "-": standard input) that is not blank, in order, with its file:line. A
// std::invalid_argument or JSON error that `take` throws is given on as std::invalid_argument that
// begins with file:line.
void for_each_line(const std::string& path, const std::function<void(std::string_view line)>& take);

}  // namespace lathe
