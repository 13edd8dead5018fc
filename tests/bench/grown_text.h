#pragma once

#include <algorithm>
#include <string>

namespace lathe {

// Appends a JSON line with every eighth plain word made another by letters of the copy's own, so
// that no copy is a near duplicate of another. What JSON means by the line stays.
inline void append_copy(std::string& out, const std::string& line, size_t copy) {
  const std::string mark = {static_cast<char>('a' + copy % 26),
                            static_cast<char>('a' + copy / 26 % 26),
                            static_cast<char>('a' + copy / 676 % 26)};
  size_t begin = 0, word = copy;
  for (size_t end; (end = line.find(' ', begin)) != std::string::npos; begin = end + 1) {
    out.append(line, begin, end - begin);
    const bool plain = end > begin && std::all_of(line.begin() + static_cast<ptrdiff_t>(begin),
                                                  line.begin() + static_cast<ptrdiff_t>(end),
                                                  [](char c) { return c >= 'a' && c <= 'z'; });
    if (++word % 8 == 0 && plain) out += mark;
    out += ' ';
  }
  out.append(line, begin);
  out += '\n';
}

}  // namespace lathe
