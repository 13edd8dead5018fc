#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace lathe {

// Appends text as a JSON string; it must be valid UTF-8.
void append_json_string(std::string& out, std::string_view text);
std::string json_number(double value);

// A JSON object with every string at `key` at its top (every string anywhere, but for names of keys
// and roles, where key is empty) replaced by what change makes of it. Throws std::invalid_argument
// for what is no object.
std::string change_strings(std::string_view object, std::string_view key,
                           const std::function<std::string(std::string_view)>& change);

}  // namespace lathe
