#include "data/curate/equal_windows.h"

#include <divsufsort.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "data/curate/measure_block.h"

namespace lathe {
namespace {

std::vector<int32_t> suffix_array(std::string_view text) {
  if (text.size() >= static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    throw std::logic_error("equal windows: a text of 2^31 bytes");
  std::vector<int32_t> suffixes(text.size());
  if (text.empty()) return suffixes;
  if (::divsufsort(reinterpret_cast<const sauchar_t*>(text.data()), suffixes.data(),
                   static_cast<saidx_t>(text.size())) != 0)
    throw std::runtime_error("equal windows: no memory for the suffix array");
  return suffixes;
}

}  // namespace

EqualWindows find_equal_windows(std::string_view text, size_t size, int threads) {
  constexpr size_t kPiece = 1 << 16;
  const std::vector<int32_t> suffixes = suffix_array(text);
  const auto whole = [&](size_t k) {
    return static_cast<size_t>(suffixes[k]) + size <= text.size();
  };
  // Whether the window of the k-th suffix is that of the one before.
  std::vector<uint8_t> as_before(suffixes.size());
  share_work(static_cast<size_t>(std::max(threads, 1)), suffixes.size() / kPiece + 1,
             [&](size_t, size_t piece) {
               const size_t end = std::min(suffixes.size(), (piece + 1) * kPiece);
               for (size_t k = std::max<size_t>(piece * kPiece, 1); k < end; ++k)
                 as_before[k] = whole(k - 1) && whole(k) &&
                                std::memcmp(text.data() + suffixes[k - 1],
                                            text.data() + suffixes[k], size) == 0;
             },
             {});
  EqualWindows windows;
  windows.groups.resize(suffixes.size());
  for (size_t k = 1; k < suffixes.size(); ++k) {
    if (!as_before[k]) continue;
    if (!as_before[k - 1]) windows.groups[suffixes[k - 1]] = ++windows.num_groups;
    windows.groups[suffixes[k]] = windows.num_groups;
  }
  return windows;
}

}  // namespace lathe
