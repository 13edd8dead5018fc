#include "data/tokenize/merge_table.h"

#include <algorithm>

namespace lathe {

MergeTable::MergeTable(std::span<const Merge> merges) {
  if (merges.empty()) return;
  uint32_t highest_rank = 0;
  for (const Merge& merge : merges) {
    const int32_t highest_id = std::max({merge.left, merge.right, merge.result});
    if (static_cast<uint32_t>(highest_id) >= kNoToken || merge.rank >= kRankMask) return;
    highest_rank = std::max(highest_rank, merge.rank);
  }
  constexpr size_t kWanted = 3;  // entries a line: one line in fifty is then full
  lines_.resize(merges.size() / kWanted + 2);
  ids_.assign(size_t{highest_rank} + 1, kNoToken);
  for (const Merge& merge : merges) {
    const uint64_t key =
        key_of(static_cast<uint32_t>(merge.left), static_cast<uint32_t>(merge.right));
    size_t at = line_number(key) * 8;
    const auto entry = [&]() -> uint64_t& { return lines_[at / 8].entries[at % 8]; };
    while (entry() != 0 && entry() >> kRankBits != key) at = (at + 1) % (lines_.size() * 8);
    entry() = key << kRankBits | (merge.rank + 1);
    ids_[merge.rank] = static_cast<uint32_t>(merge.result);
  }
  first_id_ = ids_[0];
  for (uint32_t rank = 0; rank <= highest_rank; ++rank) {
    if (ids_[rank] != first_id_ + rank) return;
  }
  ids_ = {};
}

uint32_t MergeTable::find(uint64_t key) const {
  for (const Line* line = line_of(key);; line = next(line)) {
    for (const uint64_t entry : line->entries) {
      if (entry == 0) return kNone;
      if (entry >> kRankBits == key) return static_cast<uint32_t>(entry & kRankMask) - 1;
    }
  }
}

}  // namespace lathe
