#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lathe {

// Counts of hashes, for one document at a time; emptied in no time.
class NgramTable {
 public:
  struct Entry {
    uint64_t hash = 0;
    uint32_t round = 0;
    uint32_t count = 0;
    uint32_t first = 0;  // the place that was given with the first of them
  };

  // Empties it and makes room for up to `most` different hashes.
  void start(size_t most) {
    size_t size = table_.size();
    if (size < 2 * most + 2) {
      for (size = 1024; size < 2 * most + 2;) size *= 2;
      table_.assign(size, {});
      round_ = 0;
    }
    for (size = 1024; size < 2 * most + 2;) size *= 2;  // small documents stay in the cache
    mask_ = size - 1;
    if (++round_ == 0) {
      table_.assign(table_.size(), {});
      round_ = 1;
    }
  }

  // The entry of a hash, counted once more. Its place stays valid until the next start().
  Entry& add(uint64_t hash, uint32_t place) {
    Entry& entry = find(hash);
    if (entry.round != round_) entry = {hash, round_, 0, place};
    ++entry.count;
    return entry;
  }
  uint32_t slot_of(const Entry& entry) const {
    return static_cast<uint32_t>(&entry - table_.data());
  }
  const Entry& at_slot(uint32_t slot) const { return table_[slot]; }

 private:
  Entry& find(uint64_t hash) {
    for (size_t at = (hash ^ (hash >> 32)) & mask_;; at = (at + 1) & mask_) {
      Entry& entry = table_[at];
      if (entry.round != round_ || entry.hash == hash) return entry;
    }
  }

  std::vector<Entry> table_;
  size_t mask_ = 0;
  uint32_t round_ = 0;
};

}  // namespace lathe
