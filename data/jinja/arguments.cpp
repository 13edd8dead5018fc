#include "data/jinja/arguments.h"

#include <algorithm>

namespace lathe::jinja {

Bound::Bound(std::string_view callee, const Arguments& arguments,
             std::initializer_list<std::string_view> parameters)
    : callee_(callee), parameters_(parameters), values_(parameters_.size(), nullptr) {
  if (arguments.positional.size() > parameters_.size()) {
    throw Fault(callee_ + "() takes at most " + std::to_string(parameters_.size()) +
                " arguments, got " + std::to_string(arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(parameters_.begin(), parameters_.end(), name);
    if (found == parameters_.end()) {
      throw Fault(callee_ + "() got an unexpected keyword argument '" + std::string(name) + "'");
    }
    const Value*& place = values_[static_cast<size_t>(found - parameters_.begin())];
    if (place != nullptr) {
      throw Fault(callee_ + "() got multiple values for argument '" + std::string(name) + "'");
    }
    place = &value;
  }
}

void Bound::refuse(size_t index, std::string_view expected) const {
  const Value* value = values_[index];
  if (value != nullptr && value->is_undefined()) throw Fault(value->why());
  throw Fault(callee_ + "() expects " + std::string(expected) + " as '" +
              std::string(parameters_[index]) + "', got " +
              std::string(value == nullptr ? "nothing" : value->type_name()));
}

const Value& Bound::required(size_t index) const {
  if (values_[index] == nullptr) refuse(index, "a value");
  return *values_[index];
}

int64_t Bound::integer(size_t index, int64_t otherwise) const {
  const Value* value = values_[index];
  if (value == nullptr) return otherwise;
  if (!value->is_integer()) refuse(index, "an int");
  return value->integer();
}

bool Bound::truth(size_t index, bool otherwise) const {
  return values_[index] == nullptr ? otherwise : values_[index]->truth();
}

std::string_view Bound::text(size_t index, std::string_view otherwise) const {
  const Value* value = values_[index];
  if (value == nullptr) return otherwise;
  if (!value->is_text()) refuse(index, "a str");
  return value->text();
}

}  // namespace lathe::jinja
