#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

// A regular expression of a tokenizer.json: PCRE2 with Unicode properties, compiled once,
// thread-safe. The text must be valid UTF-8. Work is bounded: a pattern that needs too many steps
// on a text throws std::invalid_argument.
namespace lathe {

class Regex {
 public:
  explicit Regex(const std::string& pattern);
  ~Regex();
  Regex(Regex&&) noexcept;

  // Calls found(begin, end) for the matches from left to right that do not overlap.
  void for_each_match(std::string_view text,
                      const std::function<void(size_t, size_t)>& found) const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace lathe
