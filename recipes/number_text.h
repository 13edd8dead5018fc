#pragma once

#include <string>

namespace lathe {

// The number that a text of the config is. Throws std::invalid_argument that names its place and
// key.
double number_of(const std::string& text, const std::string& where, const std::string& key);

}  // namespace lathe
