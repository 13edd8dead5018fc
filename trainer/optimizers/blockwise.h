#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

// Numbers in 8 bits, block by block (Dettmers et al. 2021, arXiv:2110.02861): each block is scaled
// by its largest magnitude, and each number becomes the nearest of 256, which lie denser towards
// zero (bitsandbytes' dynamic code).
namespace lathe {

constexpr int64_t kStateBlock = 256;

// Sorted. Signed: 1 is there, -1 is not. Unsigned: 0 to 1.
std::array<float, 256> dynamic_code(bool is_signed);

class BlockCode {
 public:
  explicit BlockCode(bool is_signed);

  // n numbers of one block; returns its scale.
  float encode(const float* values, int64_t n, uint8_t* codes) const;
  void decode(const uint8_t* codes, int64_t n, float scale, float* values) const;

  // Of x in -1 .. 1; the lower one of two that are as near.
  uint8_t nearest(float x) const {
    const auto bits = std::bit_cast<uint32_t>(x);
    const int key = std::clamp(static_cast<int>((bits & 0x7fffffffu) >> 16), kFirstKey, kLastKey);
    const uint8_t first = first_[bits >> 31][static_cast<size_t>(key - kFirstKey)];
    return static_cast<uint8_t>(first + (x > middles_[first]));
  }
  uint8_t zero() const { return zero_; }

 private:
  // Upper halves of magnitudes from 2^-31 to 1. No two middles share one: they differ by more than
  // a part in 128.
  static constexpr int kFirstKey = 0x3000, kLastKey = 0x3f80;

  uint8_t search(float x) const;

  std::array<float, 256> code_;
  std::array<float, 255> middles_;  // between neighbours
  // By sign and key: the code of the least number of the key, below 255.
  std::array<std::array<uint8_t, kLastKey - kFirstKey + 1>, 2> first_;
  uint8_t zero_;
};

}  // namespace lathe
