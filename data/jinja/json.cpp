#include "data/jinja/json.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "data/jinja/print.h"

namespace lathe::jinja {
namespace {

constexpr int kMaxDepth = 99;

Value convert(const nlohmann::ordered_json& json, int depth) {
  if (depth == 0) throw Fault("JSON is nested more than 99 deep");
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::boolean:
      return Value(json.get<bool>());
    case Type::number_integer:
      return Value(json.get<int64_t>());
    case Type::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        throw Fault("the integer " + json.dump() + " does not fit in 64 bits");
      }
      return Value(json.get<int64_t>());
    case Type::number_float:
      return Value(json.get<double>());
    case Type::string:
      return Value(json.get_ref<const std::string&>());
    case Type::array: {
      Items items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(convert(item, depth - 1));
      return Value(std::move(items));
    }
    case Type::object: {
      Dict dict;
      for (const auto& [key, value] : json.items()) dict.set(Value(key), convert(value, depth - 1));
      return Value(std::move(dict));
    }
    default:
      return Value();
  }
}

}  // namespace

Value from_json(const nlohmann::ordered_json& json) { return convert(json, kMaxDepth); }

nlohmann::ordered_json to_ordered_json(const Value& value, Budget& budget) {
  return nlohmann::ordered_json::parse(to_json(value, {}, budget));
}

}  // namespace lathe::jinja
