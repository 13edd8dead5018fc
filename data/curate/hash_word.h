#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace lathe {

inline constexpr uint64_t kWordBytes[] = {
    0,           0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF,
    ~uint64_t{0}};

namespace hash_words {

inline constexpr uint64_t kA = 0x9E3779B97F4A7C15, kB = 0xD6E8FEB86659FD93;
inline constexpr uint64_t kSmall = 0x2020202020202020;  // makes ASCII letters small

constexpr uint64_t mix(uint64_t a) {
  const auto product = static_cast<unsigned __int128>(a) * kB;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Of up to sixteen bytes: which of them count, and whether there are more than eight, which is
// nothing to foretell and so is no branch.
struct Sixteen {
  uint64_t seed = 0, low = 0, high = 0, longer = 0;
};
constexpr std::array<Sixteen, 17> make_sixteens() {
  std::array<Sixteen, 17> table{};
  for (size_t size = 0; size <= 16; ++size) {
    const size_t first = size < 8 ? size : 8;
    table[size] = {(size + 1) * kA, kWordBytes[first], kWordBytes[size - first],
                   size > 8 ? ~uint64_t{0} : 0};
  }
  return table;
}
inline constexpr std::array<Sixteen, 17> kSixteens = make_sixteens();

constexpr uint64_t hash(const Sixteen& of, uint64_t low, uint64_t high) {
  const uint64_t brief = mix(of.seed ^ (low & of.low));
  const uint64_t whole = mix(brief ^ (high & of.high));
  return (brief & ~of.longer) | (whole & of.longer) | 1;
}

}  // namespace hash_words

// A hash for words in tables: fast, not for files, never 0. load8(at) gives eight bytes of the word
// from `at` on; what is behind its end does not count. It is asked for the first sixteen bytes of
// every word.
template <class Load>
constexpr uint64_t hash_eights(size_t size, Load&& load8) {
  using namespace hash_words;
  if (size <= 16) return hash_words::hash(kSixteens[size], load8(0), load8(8));
  uint64_t hash = (size + 1) * kA;
  size_t at = 0;
  for (; size - at > 8; at += 8) hash = mix(hash ^ load8(at));
  return mix(hash ^ (load8(at) & kWordBytes[size - at])) | 1;
}

// Sixteen bytes behind the word must be readable.
inline uint64_t hash_word(const char* bytes, size_t size) {
  return hash_eights(size, [bytes](size_t at) {
    uint64_t value;
    std::memcpy(&value, bytes + at, 8);
    return value;
  });
}

inline uint64_t hash_small_word(const char* letters, size_t size) {
  return hash_eights(size, [letters](size_t at) {
    uint64_t value;
    std::memcpy(&value, letters + at, 8);
    return value | hash_words::kSmall;
  });
}

// Of a word of ASCII letters as it stands and in small letters.
struct WordHashes {
  uint64_t word = 0, small = 0;
};

inline WordHashes hash_both(const char* letters, size_t size) {
  using namespace hash_words;
  if (size > 16) [[unlikely]]
    return {hash_word(letters, size), hash_small_word(letters, size)};
  uint64_t low, high;
  std::memcpy(&low, letters, 8);
  std::memcpy(&high, letters + 8, 8);
  const Sixteen& of = kSixteens[size];
  return {hash_words::hash(of, low, high), hash_words::hash(of, low | kSmall, high | kSmall)};
}

// The same for long pieces: four hashes side by side, which need not wait for each other.
inline uint64_t hash_line(std::string_view line) {
  const char* bytes = line.data();
  size_t size = line.size();
  if (size < 64) return hash_word(bytes, size);
  constexpr uint64_t kFactors[4] = {0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F,
                                    0xA0761D6478BD642F};
  uint64_t lanes[4] = {size, 1, 2, 3};
  for (; size >= 32; bytes += 32, size -= 32) {
    for (size_t k = 0; k < 4; ++k) {
      uint64_t value;
      std::memcpy(&value, bytes + 8 * k, 8);
      const uint64_t mixed = (lanes[k] ^ value) * kFactors[k];
      lanes[k] = mixed ^ (mixed >> 32);
    }
  }
  char ends[48] = {};
  std::memcpy(ends, lanes, sizeof lanes);
  const uint64_t head = hash_word(ends, sizeof lanes);
  return (hash_word(bytes, size) ^ (head * kFactors[0])) | 1;
}

}  // namespace lathe
