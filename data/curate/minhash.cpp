#include "data/curate/minhash.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "data/shards/hash.h"

namespace lathe {
namespace {

constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;

// The Mersenne twister as numpy seeds and reads it: init_genrand, 64 bits as high and low word.
class Twister {
 public:
  explicit Twister(uint32_t seed) {
    state_[0] = seed;
    for (uint32_t i = 1; i < kSize; ++i)
      state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }

  // Unlike std::mt19937's, numpy's 64 bits are (high << 32) | low.
  uint64_t next64() {
    const uint64_t high = next32();
    return high << 32 | next32();
  }

 private:
  static constexpr uint32_t kSize = 624, kShift = 397;

  uint32_t next32() {
    if (index_ == kSize) refill();
    uint32_t y = state_[index_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680U;
    y ^= (y << 15) & 0xefc60000U;
    return y ^ (y >> 18);
  }

  void refill() {
    for (uint32_t k = 0; k < kSize; ++k) {
      const uint32_t y = (state_[k] & 0x80000000U) | (state_[(k + 1) % kSize] & 0x7fffffffU);
      state_[k] = state_[(k + kShift) % kSize] ^ (y >> 1) ^ ((y & 1) ? 0x9908b0dfU : 0);
    }
    index_ = 0;
  }

  std::array<uint32_t, kSize> state_{};
  uint32_t index_ = kSize;
};

uint64_t mix(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0xD6E8FEB86659FD93;
  hash ^= hash >> 32;
  hash *= 0xD6E8FEB86659FD93;
  return hash ^ (hash >> 32);
}

size_t round_up(size_t count) { return (count + 15) / 16 * 16; }

}  // namespace

MinHashKind min_hash_kind_named(std::string_view name) {
  if (name == "fast") return MinHashKind::k32Bit;
  if (name == "compatible") return MinHashKind::k61Bit;
  throw std::invalid_argument(
      fmt::format("curate: minhash kind `{}` is none; expected fast or compatible", name));
}

// Values below the span from low to 2^61-2 by masking and drawing again, as numpy does by default.
void draw_permutations(uint64_t seed, size_t count, std::vector<uint64_t>& a,
                       std::vector<uint64_t>& b) {
  Twister twister(static_cast<uint32_t>(seed));
  const auto draw = [&](uint64_t low) {
    const uint64_t most = kPrime - 1 - low;
    for (;;) {
      const uint64_t value = twister.next64() & kPrime;
      if (value <= most) return value + low;
    }
  };
  a.resize(count);
  b.resize(count);
  for (uint64_t& value : a) value = draw(1);
  for (uint64_t& value : b) value = draw(0);
}

MinHash::MinHash(const MinHashOptions& options) : options_(options) {
  if (options.ngram < 1 || options.bands < 1 || options.rows < 1 ||
      options.bands * options.rows > 65536) {
    throw std::invalid_argument(fmt::format(
        "curate: minhash with ngram {}, bands {} and rows {}; expected numbers from 1 on "
        "and at most 65536 hashes in all",
        options.ngram, options.bands, options.rows));
  }
  const auto count = static_cast<size_t>(options.bands * options.rows);
  draw_permutations(options.seed, count, a_, b_);
  a_.resize(round_up(count), 1);
  b_.resize(round_up(count), 0);
  least_.resize(a_.size());
  for (size_t k = 0; k < a_.size(); ++k) {
    a32_.push_back(static_cast<uint32_t>(a_[k] >> 8) | 1);
    b32_.push_back(static_cast<uint32_t>(b_[k] >> 8));
  }
  least32_.resize(a_.size());
}

std::span<const uint64_t> MinHash::shingles(const SimpleText& text) {
  const auto n = static_cast<size_t>(options_.ngram);
  shingles_.clear();
  if (text.num_words() < n) return shingles_;
  const size_t count = text.num_words() - n + 1;
  shingles_.resize(count);
  if (options_.kind == MinHashKind::k61Bit) {
    for (size_t i = 0; i < count; ++i) shingles_[i] = hash_bytes(text.piece(i, n));
    return shingles_;
  }
  // A sum that slides over the words' hashes.
  constexpr uint64_t kBase = 0x9E3779B97F4A7C15;
  const std::span<const uint64_t> hashes = text.hashes();
  uint64_t power = 1, sum = 0;
  for (size_t k = 0; k < n; ++k) {
    sum = sum * kBase + hashes[k];
    power *= kBase;
  }
  shingles_[0] = mix(sum);
  for (size_t i = 1; i < count; ++i) {
    sum = sum * kBase + hashes[i + n - 1] - hashes[i - 1] * power;
    shingles_[i] = mix(sum);
  }
  return shingles_;
}

std::span<const uint64_t> MinHash::signature_of(std::span<const uint64_t> shingles) {
  static const MinHashLoops loops = min_hash_loops();
  const auto count = static_cast<size_t>(options_.bands * options_.rows);
  if (shingles.empty()) return {};
  if (options_.kind == MinHashKind::k61Bit) {
    std::fill(least_.begin(), least_.end(), ~uint64_t{0});
    loops.least61(shingles.data(), shingles.size(), a_.data(), b_.data(), least_.data(), a_.size());
  } else {
    std::fill(least32_.begin(), least32_.end(), ~uint32_t{0});
    loops.least32(shingles.data(), shingles.size(), a32_.data(), b32_.data(), least32_.data(),
                  a32_.size());
    std::copy(least32_.begin(), least32_.end(), least_.begin());
  }
  return {least_.data(), count};
}

std::span<const uint64_t> MinHash::signature(const SimpleText& text) {
  return signature_of(shingles(text));
}

void MinHash::append_bands(const SimpleText& text, std::vector<uint64_t>& bands) {
  const std::span<const uint64_t> values = signature(text);
  const auto rows = static_cast<size_t>(options_.rows);
  for (size_t begin = 0; begin < values.size(); begin += rows) {
    bands.push_back(hash_bytes(
        {reinterpret_cast<const char*>(values.data() + begin), rows * sizeof(uint64_t)}));
  }
}

MinHashLoops min_hash_loops() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
    return min_hash_avx512();
  if (__builtin_cpu_supports("avx2")) return min_hash_avx2();
  return min_hash_plain();
}

}  // namespace lathe
