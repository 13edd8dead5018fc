#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

// The little JSON that a safetensors header is made of: objects, arrays, strings and unsigned
// integers, read in place and once, without recursion and without a tree, so that memory and stack
// do not depend on what the text says.
namespace lathe {

class StrictJson {
 public:
  StrictJson(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  // Begins every later message, after the file: the tensor at hand.
  void subject(std::string subject) { subject_ = std::move(subject); }
  [[noreturn]] void fail(const std::string& reason) const;

  bool at(char c) const { return position_ < text_.size() && text_[position_] == c; }
  // member(key) must read the value; element() must read one element.
  void object(const std::function<void(std::string)>& member);
  void array(const std::function<void()>& element);
  std::string string();
  uint64_t unsigned_integer();
  // Only white space may follow.
  void end();

 private:
  void skip_space();
  bool take(char c);
  void expect(char c);
  void escape(std::string& out);
  uint32_t hex4();

  std::string_view text_;
  const std::string& where_;
  std::string subject_;
  size_t position_ = 0;
};

// As a JSON string; shortened to `limit` bytes for messages.
std::string json_quoted(std::string_view text, size_t limit = 100);

}  // namespace lathe
