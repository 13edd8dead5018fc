#pragma once

#include <cstddef>

// The English endings that the byte-level patterns cut off: 's, 're and their like.
namespace lathe {

// 's 't 'm 'd 're 've 'll at p (a quote): their length, else 0.
inline size_t contraction(const char* p, const char* end) {
  if (end - p < 2) return 0;
  const char a = p[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (end - p < 3) return 0;
  const char b = p[2];
  return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// The same in either case; U+017F is an s there.
inline size_t contraction_any_case(const char* p, const char* end) {
  if (end - p < 2) return 0;
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const char folded[3] = {'\'', lower(p[1]), end - p > 2 ? lower(p[2]) : '\0'};
  if (end - p > 2 && p[1] == '\xC5' && p[2] == '\xBF') return 3;
  return contraction(folded, folded + 3);
}

}  // namespace lathe
