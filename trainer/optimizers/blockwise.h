#pragma once

#include <array>
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

  uint8_t nearest(float x) const;  // in -1 .. 1; the lower one of two that are as near
  uint8_t zero() const { return zero_; }

 private:
  std::array<float, 256> code_;
  std::array<float, 255> middles_;  // between neighbours
  uint8_t zero_;
};

}  // namespace lathe
