#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

// f(text) for every record of the files, in their order, each as filters see it. Throws
// std::invalid_argument with file:line for a record that can not be read.
void for_each_text_of(const std::vector<std::string>& files, int threads,
                      const std::function<void(std::string_view text)>& f);

}  // namespace lathe
