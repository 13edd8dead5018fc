#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/corpus.h"
#include "data/corpus/record_view.h"

// The shapes that records may have, and what people have instead.
namespace lathe {

using Keys = std::vector<std::string>;

// What is known of a shape: all of it stands in one table.
struct ShapeEntry {
  Shape shape;
  std::string_view name, sketch;
  bool (*fits)(const Keys&);  // whether a record with these keys may be meant
  RecordContent (*parse)(const RecordView&);
};

const std::vector<ShapeEntry>& shape_table();  // without kAuto
const ShapeEntry& shape_entry(Shape shape);    // not kAuto
std::vector<std::string_view> shape_names();   // auto and those of the table
bool is_chat(Shape shape);                     // whether its records pass a chat template

// The shape of a record with these keys and, in reason, why. Throws std::invalid_argument "keys:
// found ..., expected ..." when none fits or more than one.
Shape detect_shape(const Keys& keys, std::string& reason);

// What a record with these keys seems to be and how to turn it into a known shape, for the end of
// an error message.
std::string nearest_shape(const Keys& keys);

bool has(const Keys& keys, std::string_view key);
std::string list_keys(const Keys& keys);  // "a", "b", "c"

}  // namespace lathe
