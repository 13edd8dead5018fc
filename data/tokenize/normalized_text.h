#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Text that was changed, with the way back to where each byte came from (kept only when asked for).
namespace lathe {

struct NormalizedText {
  std::string text;
  // Where in the original each byte of the text begins, and where the last ends: text.size() + 1
  // rising numbers. What replaces a piece stands for the piece at its first byte and for nothing at
  // the others. Empty: not tracked.
  std::vector<uint32_t> origin;

  bool tracked() const { return !origin.empty(); }

  static NormalizedText of(std::string_view text, size_t offset, bool tracked) {
    NormalizedText result{std::string(text), {}};
    if (!tracked) return result;
    result.origin.resize(text.size() + 1);
    for (size_t i = 0; i <= text.size(); ++i) result.origin[i] = static_cast<uint32_t>(offset + i);
    return result;
  }
};

// Rewrites a text from left to right: keep() and replace() say what becomes of the next bytes,
// take() ends it.
class Rewrite {
 public:
  explicit Rewrite(const NormalizedText& from) : from_(from) {
    to_.text.reserve(from.text.size() + 8);
  }

  void keep(size_t begin, size_t end) {
    to_.text.append(from_.text, begin, end - begin);
    if (from_.tracked())
      to_.origin.insert(to_.origin.end(), from_.origin.begin() + begin, from_.origin.begin() + end);
  }
  void replace(size_t begin, size_t end, std::string_view content) {
    to_.text += content;
    if (!from_.tracked()) return;
    for (size_t i = 0; i < content.size(); ++i)
      to_.origin.push_back(from_.origin[i == 0 ? begin : end]);
  }
  void insert(size_t at, std::string_view content) { replace(at, at, content); }
  size_t size() const { return to_.text.size(); }
  NormalizedText take() {
    if (from_.tracked()) to_.origin.push_back(from_.origin.back());
    return std::move(to_);
  }

 private:
  const NormalizedText& from_;
  NormalizedText to_;
};

}  // namespace lathe
