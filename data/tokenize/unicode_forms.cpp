#include "data/tokenize/unicode_forms.h"

#include <utf8proc.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

const utf8proc_property_t& property(uint32_t c) {
  return *utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
}

// Whether a character may join what stands before it, in some form.
bool joins_previous(uint32_t c) {
  if (c < 0x300) return false;
  const utf8proc_property_t& p = property(c);
  const bool jamo = (c >= 0x1161 && c <= 0x1175) || (c >= 0x11A8 && c <= 0x11C2);
  const bool second_of_pair = p.comb_index >= 0x8000 && p.comb_index != UINT16_MAX;
  return p.combining_class != 0 || jamo || second_of_pair;
}

// CJK ideographs and most punctuation stand for themselves: no table needed.
bool surely_inert(uint32_t c) {
  return c < 0x300 || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x2010 && c <= 0x2027);
}

// Compatibility mappings (full-width forms and the like) have a type and are none of NFC's
// business.
bool inert_nfc(uint32_t c) {
  if (surely_inert(c)) return true;
  const utf8proc_property_t& p = property(c);
  const bool canonical = p.decomp_seqindex != UINT16_MAX && p.decomp_type == 0;
  return !canonical && !joins_previous(c);
}

int options_of(UnicodeForm form) {
  switch (form) {
    case UnicodeForm::kNfc:
      return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    case UnicodeForm::kNfd:
      return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    case UnicodeForm::kNfkc:
      return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
    case UnicodeForm::kNfkd:
      return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
  }
  return 0;
}

struct Free {
  void operator()(void* p) const { std::free(p); }
};

std::string in_form(std::string_view text, int options) {
  utf8proc_uint8_t* raw = nullptr;
  const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                              static_cast<utf8proc_ssize_t>(text.size()), &raw,
                              static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, Free> result(raw);
  if (n < 0) throw std::runtime_error(std::string("utf8proc: ") + utf8proc_errmsg(n));
  return std::string(reinterpret_cast<char*>(raw), static_cast<size_t>(n));
}

// Rewrites character by character: change(c) gives the new text, or null to keep.
template <typename Change>
NormalizedText map_characters(const NormalizedText& from, Change change) {
  Rewrite rewrite(from);
  const char* begin = from.text.data();
  const char* end = begin + from.text.size();
  std::string changed;
  for (const char* p = begin; p < end;) {
    const char* start = p;
    const uint32_t c = next_code_point(p);
    changed.clear();
    if (change(c, changed)) {
      rewrite.replace(start - begin, p - begin, changed);
    } else {
      rewrite.keep(start - begin, p - begin);
    }
  }
  return rewrite.take();
}

}  // namespace

bool is_nfc(std::string_view text) {
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    for (uint64_t eight; end - p >= 8; p += 8) {
      std::memcpy(&eight, p, 8);
      if (eight & 0x8080808080808080u) break;
    }
    if (p == end) break;
    const char* start = p;
    if (inert_nfc(next_code_point(p))) continue;
    // With what stands before it, which it may join, and all that may join it.
    const char* before = start;
    if (start > text.data()) previous_code_point(before);
    for (const char* q = p; p < end && joins_previous(next_code_point(q)); p = q) {
    }
    const std::string_view segment(before, static_cast<size_t>(p - before));
    if (in_form(segment, options_of(UnicodeForm::kNfc)) != segment) return false;
  }
  return true;
}

NormalizedText to_form(NormalizedText from, UnicodeForm form) {
  if (form == UnicodeForm::kNfc && is_nfc(from.text)) return from;
  const int options = options_of(form);
  Rewrite rewrite(from);
  const char* begin = from.text.data();
  const char* end = begin + from.text.size();
  for (const char* p = begin; p < end;) {
    // A segment: a character and all that may join it.
    const char* start = p;
    next_code_point(p);
    for (const char* q = p; p < end && joins_previous(next_code_point(q)); p = q) {
    }
    const std::string_view segment(start, static_cast<size_t>(p - start));
    const std::string changed = in_form(segment, options);
    if (changed == segment) {
      rewrite.keep(start - begin, p - begin);
    } else {
      rewrite.replace(start - begin, p - begin, changed);
    }
  }
  return rewrite.take();
}

NormalizedText to_lower_case(NormalizedText from) {
  return map_characters(from, [](uint32_t c, std::string& out) {
    if (c == 0x130) return out = "i\xCC\x87", true;  // the one character whose small form is two
    const auto lower = static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
    if (lower == c) return false;
    append_utf8(lower, out);
    return true;
  });
}

NormalizedText without_marks(NormalizedText from) {
  return map_characters(from, [](uint32_t c, std::string&) {
    const utf8proc_propval_t kind = property(c).category;
    return kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
  });
}

}  // namespace lathe
