#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/corpus.h"

// The shapes that records may have, and what people have instead.
namespace lathe {

std::string_view shape_name(Shape shape);  // text | messages | tokens | auto
std::string_view shape_sketch(Shape shape);

// The shape whose key is among the record's keys (tokens before messages before text), or kAuto.
Shape shape_of(const std::vector<std::string>& keys);

// What a record with these keys seems to be and how to turn it into a known shape, for the end of
// an error message.
std::string nearest_shape(const std::vector<std::string>& keys);

std::string list_keys(const std::vector<std::string>& keys);  // "a", "b", "c"

}  // namespace lathe
