#pragma once

#include <string>

namespace lathe {

// 16 hex digits over config.json and all weights of a Hugging Face folder, by name: whose numbers a
// kept result is of.
std::string hash_of_model(const std::string& folder);

}  // namespace lathe
