#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "data/tokenize/huge_pages.h"

// Short words -> their ids, so that most words need no merging: a fixed table of the words that are
// one token, and a bounded cache of what was lately seen. Both keep the words themselves, so a hit
// is never a guess.
namespace lathe {

// Up to 31 bytes and their number.
struct WordKey {
  static constexpr size_t kMaxBytes = 31;
  uint64_t parts[4];

  bool operator==(const WordKey& other) const {
    return ((parts[0] ^ other.parts[0]) | (parts[1] ^ other.parts[1]) |
            (parts[2] ^ other.parts[2]) | (parts[3] ^ other.parts[3])) == 0;
  }
  static WordKey of(std::string_view word) {
    WordKey key{};
    std::memcpy(&key, word.data(), word.size());  // the top byte is free: 31 bytes at most
    key.parts[3] |= static_cast<uint64_t>(word.size()) << 56;
    return key;
  }
  uint64_t hash() const {
    const uint64_t a = (parts[0] ^ parts[2] * 0xA24BAED4963EE407u) * 0x9E3779B97F4A7C15u;
    const uint64_t b = (parts[1] ^ parts[3]) * 0x9FB21C651E98DF25u;
    return ((a ^ b) ^ (a ^ b) >> 29) >> 8;
  }
};

// The first 15 bytes of a word of up to 15 bytes, and their number.
struct ShortKey {
  static constexpr size_t kMaxBytes = 15;
  uint64_t low, high;

  // readable: up to where the text may be read (not all of it is the word).
  static ShortKey of(const char* word, size_t size, const char* readable) {
    // Sixteen bytes of ones, then of zeros: what begins size bytes before the zeros keeps the word.
    static constexpr uint64_t kKeep[4] = {~uint64_t{0}, ~uint64_t{0}, 0, 0};
    ShortKey key{0, 0};
    if (readable - word >= 16) {
      ShortKey keep;
      std::memcpy(&key, word, 16);
      std::memcpy(&keep, reinterpret_cast<const char*>(kKeep) + 16 - size, 16);
      key.low &= keep.low;
      key.high &= keep.high;
    } else {
      std::memcpy(&key, word, size);
    }
    key.high |= static_cast<uint64_t>(size) << 56;
    return key;
  }
  bool operator==(const ShortKey& other) const {
    return ((low ^ other.low) | (high ^ other.high)) == 0;
  }
  uint64_t hash() const {
    const auto product =
        static_cast<unsigned __int128>(low ^ 0x9E3779B97F4A7C15u) * (high ^ 0xD1B54A32D192ED03u);
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
};

class WordTable {
 public:
  explicit WordTable(size_t num_words = 0) {
    size_t size = 16;
    while (2 * size < 3 * num_words) size *= 2;
    slots_.assign(size, Slot{{0, 0}, -1});
  }
  void set(std::string_view word, int32_t id) {
    const ShortKey key = ShortKey::of(word.data(), word.size(), word.data() + word.size());
    size_t at = key.hash() & (slots_.size() - 1);
    while (slots_[at].key.high != 0 && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {key, id};
  }
  // hash: the key's.
  void prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]); }
  int32_t find(const ShortKey& key, uint64_t hash) const {
    size_t at = hash & (slots_.size() - 1);
    while (slots_[at].key != key) {
      if (slots_[at].key.high == 0) return -1;
      at = (at + 1) & (slots_.size() - 1);
    }
    return slots_[at].id;
  }

 private:
  struct alignas(32) Slot {
    ShortKey key;  // high 0: empty (a word has at least one byte)
    int32_t id;
  };
  HugeVector<Slot> slots_;
};

// Words lately seen, in sets of two that share a line of memory; a newcomer drives out the elder.
class WordCache {
 public:
  // Words of up to 15 bytes and 3 tokens: nearly all.
  struct Short {
    static constexpr uint32_t kMaxIds = 3;
    ShortKey key{0, 0};  // high 0: empty
    int32_t ids[kMaxIds];
    uint32_t num_ids;
  };
  struct alignas(64) Set {
    Short words[2];
    // Where the key stands, if it does.
    const Short& find(const ShortKey& key) const { return words[words[0].key == key ? 0 : 1]; }
    void add(const Short& word) {
      words[1] = words[0];
      words[0] = word;
    }
  };
  static_assert(sizeof(Set) == 64);
  Set& set_of(uint64_t hash) { return short_[hash & (kNumShort - 1)]; }

  // The others up to 31 bytes: white space and signs mostly, of which some vocabularies make a
  // token a byte.
  struct alignas(64) Long {
    static constexpr uint32_t kMaxIds = 23;
    WordKey key{};
    int32_t ids[kMaxIds];
    uint32_t num_ids = 0;  // 0: empty
  };
  static_assert(sizeof(Long) == 128);
  Long& place_of(const WordKey& key) { return long_[key.hash() & (kNumLong - 1)]; }

 private:
  // Four megabytes each: two words in a hundred of a book then miss it on a second reading.
  static constexpr size_t kNumShort = size_t{1} << 16, kNumLong = size_t{1} << 15;
  HugeVector<Set> short_ = HugeVector<Set>(kNumShort);
  HugeVector<Long> long_ = HugeVector<Long>(kNumLong);
};

}  // namespace lathe
