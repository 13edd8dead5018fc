#include "data/corpus/number_field.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "data/corpus/json_fields.h"

namespace lathe {
namespace {

double finite_number_of(const json_fields::Element& value) {
  double number = std::numeric_limits<double>::quiet_NaN();
  std::string_view text;
  if (value.get(number) == simdjson::SUCCESS) return number;
  if (value.get(text) == simdjson::SUCCESS) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size() && std::isfinite(number))
      return number;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

double number_at(std::string_view record, std::string_view path) {
  const std::string field(path);
  simdjson::dom::parser parser;
  simdjson::dom::element value;
  if (parser.parse(simdjson::padded_string(record)).get(value) != simdjson::SUCCESS)
    json_fields::fault(field, "a record that is no JSON object", "a number in it");
  for (std::string_view rest = path; !rest.empty();) {
    const std::string_view key = rest.substr(0, rest.find('.'));
    rest.remove_prefix(std::min(key.size() + 1, rest.size()));
    if (value[key].get(value) != simdjson::SUCCESS)
      json_fields::fault(field, "no `" + std::string(key) + "`", "a number to order records by");
  }
  const double number = finite_number_of(value);
  if (std::isnan(number))
    json_fields::fault(field, json_fields::kind_of(value), "a number to order records by");
  return number;
}

}  // namespace lathe
