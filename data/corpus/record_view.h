#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/corpus.h"
#include "data/corpus/json_fields.h"

// A JSON record whose keys are asked for by the names that a shape gives them.
namespace lathe {

// Who speaks in a turn of a conversation.
enum class Speaker { kUser, kAssistant, kTool, kFunction, kSystem };

// What a Reading says, checked. Throws std::invalid_argument for a name that no shape knows.
struct RecordFormat {
  std::map<std::string, std::string, std::less<>> columns;  // a shape's name -> the file's
  std::string role_key = "from", content_key = "value";
  std::vector<std::pair<std::string, Speaker>> speakers;  // what stands at role_key, in order

  explicit RecordFormat(const Reading& reading);
};

// A key that a column is mapped to answers to the column's name only. Both must outlive the view.
class RecordView {
 public:
  RecordView(const json_fields::Object& object, const RecordFormat& format)
      : object_(object), format_(format) {}

  const RecordFormat& format() const { return format_; }
  bool has(std::string_view key) const;
  // As the functions of json_fields; faults name the file's key.
  std::optional<json_fields::Element> find(std::string_view key) const;
  json_fields::Element at(std::string_view key, const std::string& expected) const;
  std::optional<std::string> text_at(std::string_view key) const;
  std::string name(std::string_view key) const;  // what the file calls it
  std::vector<std::string> keys() const;         // as the shapes call them

 private:
  bool is_taken(std::string_view file_key) const;  // by a column of another name

  const json_fields::Object& object_;
  const RecordFormat& format_;
};

}  // namespace lathe
