#include "recipes/number_text.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>

namespace lathe {

double number_of(const std::string& text, const std::string& where, const std::string& key) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::invalid_argument(
        fmt::format("{}: {}: found `{}`, expected a number", where, key, text));
  return value;
}

}  // namespace lathe
