#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lathe {

// Counts of hashes, for one document at a time.
class NgramTable {
 public:
  struct Entry {
    uint64_t hash = 0;  // 0: an empty place
    uint32_t count = 0;
    uint32_t first = 0;  // the place that was given with the first of them
  };

  // Empties it and makes room for up to `most` different hashes.
  void start(size_t most) {
    size_t size = 64;  // no larger than needed: small documents stay in the nearest cache
    while (size < 3 * most + 2) size *= 2;
    if (table_.size() < size) table_.resize(size);
    std::fill_n(table_.begin(), size, Entry{});
    mask_ = size - 1;
  }

  // The entry of a hash, counted once more. Whether it
  // is new is no branch: nobody could foretell it.
  Entry& add(uint64_t hash, uint32_t place) {
    hash |= 1;
    size_t at = (hash ^ (hash >> 32)) >> 1 & mask_;
    while (table_[at].hash != hash && table_[at].hash != 0) at = (at + 1) & mask_;
    Entry& entry = table_[at];
    entry.first = entry.hash == 0 ? place : entry.first;
    entry.hash = hash;
    ++entry.count;
    return entry;
  }
  // The entry of a hash that was added.
  const Entry& find(uint64_t hash) const {
    hash |= 1;
    size_t at = (hash ^ (hash >> 32)) >> 1 & mask_;
    while (table_[at].hash != hash) at = (at + 1) & mask_;
    return table_[at];
  }

 private:
  std::vector<Entry> table_;
  size_t mask_ = 0;
};

}  // namespace lathe
