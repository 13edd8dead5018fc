#include "data/loader/order.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace lathe {

uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// At least 4 bits a half: with fewer a Feistel network reaches only a few of the permutations of a
// small set.
Permutation::Permutation(uint64_t size, uint64_t seed, uint64_t epoch)
    : size_(size), half_bits_(std::max(4, (static_cast<int>(std::bit_width(size)) + 1) / 2)) {
  if (size > uint64_t{1} << 62) throw std::invalid_argument("permutation: more than 2^62 elements");
  uint64_t key = mix_bits(mix_bits(seed) ^ epoch);
  for (uint64_t& round : keys_) round = key = mix_bits(key);
}

uint64_t Permutation::encrypt(uint64_t x) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = x >> half_bits_, right = x & mask;
  for (const uint64_t key : keys_) {
    const uint64_t next = left ^ (mix_bits(right ^ key) & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

uint64_t Permutation::operator()(uint64_t k) const {
  do {
    k = encrypt(k);
  } while (k >= size_);
  return k;
}

}  // namespace lathe
