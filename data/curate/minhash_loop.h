#pragma once

#include <cstddef>
#include <cstdint>

#include "data/curate/minhash.h"

// One loop for every instruction set: the compiler makes of it what the file's flags allow. Blocks
// of hash functions stay in registers while all shingles pass. Unnamed, so that each file keeps its
// own: of equal names the linker would take any one for all.
namespace lathe::minhash_loop {
namespace {

constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;

template <size_t kBlock>
void least61(const uint64_t* shingles, size_t num_shingles, const uint64_t* a, const uint64_t* b,
             uint64_t* least, size_t count) {
  for (size_t k = 0; k < count; k += kBlock) {
    uint64_t best[kBlock];
    for (size_t j = 0; j < kBlock; ++j) best[j] = least[k + j];
    for (size_t i = 0; i < num_shingles; ++i) {
      const uint64_t shingle = shingles[i];
      for (size_t j = 0; j < kBlock; ++j) {
        const uint64_t product = shingle * a[k + j] + b[k + j];
        // Below 2^61 + 7. The eight numbers from the prime on should become 0 to 7; they come up
        // once in 10^17 hashes, and to look for them costs a fifth of the time.
        const uint64_t value = (product & kPrime) + (product >> 61);
        best[j] = value < best[j] ? value : best[j];
      }
    }
    for (size_t j = 0; j < kBlock; ++j) least[k + j] = best[j];
  }
}

template <size_t kBlock>
void least32(const uint64_t* shingles, size_t num_shingles, const uint32_t* a, const uint32_t* b,
             uint32_t* least, size_t count) {
  for (size_t k = 0; k < count; k += kBlock) {
    uint32_t best[kBlock];
    for (size_t j = 0; j < kBlock; ++j) best[j] = least[k + j];
    for (size_t i = 0; i < num_shingles; ++i) {
      const auto shingle = static_cast<uint32_t>(shingles[i] >> 32);
      for (size_t j = 0; j < kBlock; ++j) {
        const uint32_t value = shingle * a[k + j] + b[k + j];
        best[j] = value < best[j] ? value : best[j];
      }
    }
    for (size_t j = 0; j < kBlock; ++j) least[k + j] = best[j];
  }
}

MinHashLoops loops() { return {least61<16>, least32<16>}; }

}  // namespace
}  // namespace lathe::minhash_loop
