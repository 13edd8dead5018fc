#pragma once

#include <array>
#include <cstdint>

// A permutation of 0 .. size-1 chosen by (seed, epoch), in O(1) memory: a keyed Feistel network
// over the next even power of two, walked until the result lies inside. Order is arithmetic:
// nothing is stored and nothing has to be replayed.
namespace lathe {

// A good mix of the bits of x (the finaliser of splitmix64).
uint64_t mix_bits(uint64_t x);

class Permutation {
 public:
  Permutation(uint64_t size, uint64_t seed, uint64_t epoch);
  uint64_t size() const { return size_; }
  uint64_t operator()(uint64_t k) const;  // k < size

 private:
  uint64_t encrypt(uint64_t x) const;

  uint64_t size_;
  int half_bits_;
  std::array<uint64_t, 6> keys_;
};

}  // namespace lathe
