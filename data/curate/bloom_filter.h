#pragma once

#include <cstdint>
#include <vector>

namespace lathe {

// A set of hashes in bounded memory: what was added is always found; what was not is found by
// mistake at most with the stated rate. B. H. Bloom 1970; blocked (Putze et al. 2007), so that a
// question costs one line of the cache.
class BloomFilter {
 public:
  // For `expected` different hashes at that rate, but never more than most_bytes: then the rate is
  // higher. Throws std::invalid_argument for a rate outside (0, 1) or no memory.
  BloomFilter(int64_t expected, double rate, int64_t most_bytes);

  bool holds(uint64_t hash) const;
  void add(uint64_t hash);

  int64_t bytes() const { return static_cast<int64_t>(blocks_.size() * sizeof(Block)); }
  // The share of new hashes that would be taken for old ones, with what was added up to now;
  // measured from the bits that are set.
  double false_positive_rate() const;

 private:
  struct alignas(64) Block {
    uint64_t words[8] = {};
  };
  const Block& block_of(uint64_t hash) const;

  std::vector<Block> blocks_;
  int probes_;
};

}  // namespace lathe
