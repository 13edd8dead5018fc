#include "data/curate/bloom_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

namespace lathe {
namespace {

constexpr double kLn2 = 0.6931471805599453;

uint64_t mix(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0xD6E8FEB86659FD93;
  return hash ^ (hash >> 32);
}

// Which of 512 bits each probe asks for: nine bits of the hash's own a probe, for steps from one
// to the next would repeat.
constexpr int kMostProbes = 14;
class Bits {
 public:
  explicit Bits(uint64_t hash)
      : words_{mix(hash * 0x9E3779B97F4A7C15), mix(hash * 0xBF58476D1CE4E5B9 + 1)} {}
  uint64_t at(int probe) const { return words_[probe / 7] >> (9 * (probe % 7)) & 511; }

 private:
  uint64_t words_[2];
};

}  // namespace

// A blocked filter needs about a quarter more bits than a plain one, for blocks fill unevenly.
BloomFilter::BloomFilter(int64_t expected, double rate, int64_t most_bytes) {
  constexpr int64_t kBlock = sizeof(Block);
  if (!(rate > 0 && rate < 1) || most_bytes < kBlock || expected < 0) {
    throw std::invalid_argument(fmt::format(
        "Bloom filter: {} hashes, rate {} and {} bytes; expected a rate between 0 and 1, and at "
        "least {} bytes",
        expected, rate, most_bytes, kBlock));
  }
  const double items = std::max<double>(1, static_cast<double>(expected));
  const double wanted = 1.25 * items * -std::log(rate) / (kLn2 * kLn2) / 8;
  const double bytes = std::clamp(wanted, static_cast<double>(kBlock),
                                  static_cast<double>(most_bytes));
  blocks_.resize(static_cast<size_t>(bytes) / kBlock + (bytes + kBlock <= most_bytes ? 1 : 0));
  const double bits_per_item = 8.0 * static_cast<double>(this->bytes()) / items;
  probes_ = static_cast<int>(std::clamp(std::round(bits_per_item / 1.25 * kLn2), 1.0, double{kMostProbes}));
}

const BloomFilter::Block& BloomFilter::block_of(uint64_t hash) const {
  const auto wide = static_cast<unsigned __int128>(mix(hash)) * blocks_.size();
  return blocks_[static_cast<size_t>(wide >> 64)];
}

bool BloomFilter::holds(uint64_t hash) const {
  const Block& block = block_of(hash);
  const Bits bits(hash);
  for (int p = 0; p < probes_; ++p) {
    const uint64_t bit = bits.at(p);
    if (!(block.words[bit >> 6] >> (bit & 63) & 1)) return false;
  }
  return true;
}

void BloomFilter::add(uint64_t hash) {
  auto& block = const_cast<Block&>(block_of(hash));
  const Bits bits(hash);
  for (int p = 0; p < probes_; ++p) {
    const uint64_t bit = bits.at(p);
    block.words[bit >> 6] |= uint64_t{1} << (bit & 63);
  }
}

double BloomFilter::false_positive_rate() const {
  double sum = 0;
  for (const Block& block : blocks_) {
    int set = 0;
    for (const uint64_t word : block.words) set += std::popcount(word);
    sum += std::pow(set / 512.0, probes_);
  }
  return sum / static_cast<double>(blocks_.size());
}

}  // namespace lathe
