#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenize/regex.h"

#include <pcre2.h>

#include <stdexcept>

#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

// White space as the reference knows it; PCRE2's own \s would add U+180E.
constexpr const char* kSpaces =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{"
    "205f}\\x{3000}";

std::string with_reference_spaces(const std::string& pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        out += in_class ? kSpaces : std::string("[") + kSpaces + "]";
      } else if (next == 'S' && !in_class) {
        out += std::string("[^") + kSpaces + "]";
      } else {
        out += c;
        out += next;
      }
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

// Bounds the time of one match: a few seconds at the very worst.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

struct Regex::Parts {
  std::string pattern;
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  ~Parts() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

Regex::Regex(const std::string& pattern) {
  if (pattern.size() > 16384)
    throw std::invalid_argument("a regular expression of more than 16384 bytes");
  auto parts = std::make_unique<Parts>();
  parts->pattern = pattern;
  const std::string source = with_reference_spaces(pattern);
  int error = 0;
  PCRE2_SIZE at = 0;
  parts->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (!parts->code) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof message);
    throw std::invalid_argument("regular expression '" + pattern +
                                "': " + reinterpret_cast<char*>(message));
  }
  pcre2_jit_compile(parts->code,
                    PCRE2_JIT_COMPLETE);  // without it the interpreter does the same, slower
  parts->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(parts->context, kMatchLimit);
  pcre2_set_heap_limit(parts->context, kHeapLimitKib);
  parts_ = std::move(parts);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;

void Regex::for_each_match(std::string_view text,
                           const std::function<void(size_t, size_t)>& found) const {
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(
      pcre2_match_data_create_from_pattern(parts_->code, nullptr));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t from = 0, last_end = std::string::npos;
  while (from <= text.size()) {
    const int rc = pcre2_match(parts_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                               data.get(), parts_->context);
    if (rc == PCRE2_ERROR_NOMATCH) return;
    if (rc < 0) {
      throw std::invalid_argument("regular expression '" + parts_->pattern +
                                  "' gives up on a text of " + std::to_string(text.size()) +
                                  " bytes (PCRE2 error " + std::to_string(rc) +
                                  "): it needs too many steps");
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    if (range[1] > range[0]) {
      found(range[0], range[1]);
      from = last_end = range[1];
      continue;
    }
    // An empty match cuts the text there, but not just behind another match; go on behind the next
    // character.
    if (range[1] != last_end) found(range[0], range[1]);
    from = range[1] >= text.size() ? text.size() + 1 : range[1] + utf8_length(text[range[1]]);
  }
}

}  // namespace lathe
