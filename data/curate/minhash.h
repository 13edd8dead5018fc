#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/curate/simple_text.h"

// MinHash signatures of a document's word n-grams, cut into bands: two documents whose n-grams have
// the Jaccard similarity s share a band with probability 1 - (1 - s^rows)^bands.
namespace lathe {

enum class MinHashKind {
  k61Bit,  // datatrove's: xxh64 of the words, (h a + b) mod 2^61-1, a and b from its seed
  k32Bit   // the same idea in 32 bits, several times as fast
};
MinHashKind min_hash_kind_named(std::string_view name);  // compatible, fast

struct MinHashOptions {
  MinHashKind kind = MinHashKind::k32Bit;
  int64_t ngram = 5;
  int64_t bands = 14, rows = 8;
  uint64_t seed = 1;
};

// Not thread-safe: every thread has its own.
class MinHash {
 public:
  // Throws std::invalid_argument for options that make no sense.
  explicit MinHash(const MinHashOptions& options);

  // bands x rows values; empty for a document of fewer words than an n-gram.
  std::span<const uint64_t> signature(const SimpleText& text);
  // One hash per band, appended; none for such a document.
  void append_bands(const SimpleText& text, std::vector<uint64_t>& bands);

  // The same from shingles that are there already, for measuring.
  std::span<const uint64_t> signature_of(std::span<const uint64_t> shingles);
  std::span<const uint64_t> shingles(const SimpleText& text);

 private:
  MinHashOptions options_;
  std::vector<uint64_t> a_, b_, least_;
  std::vector<uint32_t> a32_, b32_, least32_;
  std::vector<uint64_t> shingles_;
};

// numpy's RandomState(seed).randint(low, 2^61 - 1, uint64, count) twice, low 1 and then 0.
void draw_permutations(uint64_t seed, size_t count, std::vector<uint64_t>& a,
                       std::vector<uint64_t>& b);

// The loops, for one instruction set each; count is a multiple of 8. least[k] becomes the least of
// itself and (shingle * a[k] + b[k]) mod 2^61-1, or of 32 bits.
struct MinHashLoops {
  void (*least61)(const uint64_t* shingles, size_t num_shingles, const uint64_t* a,
                  const uint64_t* b, uint64_t* least, size_t count);
  void (*least32)(const uint64_t* shingles, size_t num_shingles, const uint32_t* a,
                  const uint32_t* b, uint32_t* least, size_t count);
};
MinHashLoops min_hash_plain();
MinHashLoops min_hash_avx2();
MinHashLoops min_hash_avx512();
MinHashLoops min_hash_loops();  // the fastest this machine has

}  // namespace lathe
