#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace lathe {

// Which windows of `size` bytes of a text are equal, by its suffix array: suffixes that begin with
// the same window stand side by side in it.
struct EqualWindows {
  // By the position at which a window begins: its group, from 1 on; 0: no other is equal to it.
  std::vector<int32_t> groups;
  int32_t num_groups = 0;
};

// The text must be shorter than 2^31 bytes. Memory: 9 bytes for each of it. The same for any
// number of threads.
EqualWindows find_equal_windows(std::string_view text, size_t size, int threads);

}  // namespace lathe
