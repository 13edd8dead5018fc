#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
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
    ShortKey key;
    if (readable - word >= 16) [[likely]] {
      ShortKey keep;
      std::memcpy(&key, word, 16);
      std::memcpy(&keep, reinterpret_cast<const char*>(kKeep) + 16 - size, 16);
      key.low &= keep.low;
      key.high &= keep.high;
    } else {
      key = {0, 0};
      std::memcpy(&key, word, size);
    }
    key.high |= static_cast<uint64_t>(size) << 56;
    return key;
  }
  // The same word as a key of the longer kind.
  WordKey widened() const { return {{low, high << 8 >> 8, 0, high >> 56 << 56}}; }
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
  void fetch() const { fetch_all(slots_); }
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

// Words lately seen; a newcomer drives out the elder. Words of up to 15 bytes and 11 tokens, which
// is nearly all, are found with one line of memory: two of up to 3 tokens share it, or one has it.
class WordCache {
 public:
  static constexpr uint32_t kMaxNarrow = 3, kMaxWide = 11;
  struct Narrow {
    ShortKey key{0, 0};  // high 0: empty
    uint32_t num_ids = 0;
    int32_t ids[kMaxNarrow];  // of a wide word: the first of them
  };
  struct alignas(64) Wide {
    ShortKey key;
    uint32_t num_ids;
    int32_t ids[kMaxWide];
  };
  struct alignas(64) Set {
    Narrow words[2];
    // Where the key stands, if it does. Ids behind a wide word are never taken for a key: its
    // uppermost byte is its size, theirs is 0.
    const Narrow& find(const ShortKey& key) const { return words[words[0].key == key ? 0 : 1]; }
    bool is_empty() const { return words[0].key.high == 0; }
    void add(const Wide& word) {
      if (word.num_ids > kMaxNarrow || words[0].num_ids > kMaxNarrow) {
        std::memcpy(static_cast<void*>(this), &word, sizeof *this);
        if (word.num_ids <= kMaxNarrow) words[1] = {};
      } else {
        words[1] = words[0];
        std::memcpy(static_cast<void*>(&words[0]), &word, sizeof words[0]);
      }
    }
  };
  static_assert(sizeof(Set) == 64 && sizeof(Wide) == 64);
  static_assert(offsetof(Narrow, ids) == offsetof(Wide, ids));
  // The ids of what find() gave, and possibly some that mean nothing behind them; how many count.
  static uint32_t copy_ids(const Narrow& word, int32_t* out) {
    const char* ids = reinterpret_cast<const char*>(&word) + offsetof(Narrow, ids);
    if (word.num_ids <= kMaxNarrow) [[likely]] {
      std::memcpy(out, ids, sizeof word.ids);
    } else {
      std::memcpy(out, ids, sizeof(Wide::ids));
    }
    return word.num_ids;
  }
  Set& set_of(uint64_t hash) { return short_[hash & (kNumShort - 1)]; }
  void fetch() const { fetch_all(short_); }

  // Whether many of the last words were not there.
  bool much_is_new = true;

  // The others up to 31 bytes (white space and signs mostly, of which some vocabularies make a
  // token a byte), and those whose line was wanted by others.
  struct alignas(64) Long {
    static constexpr uint32_t kMaxIds = 23;
    WordKey key{};
    int32_t ids[kMaxIds];
    uint32_t num_ids = 0;  // 0: empty
  };
  static_assert(sizeof(Long) == 128);
  struct LongSet {
    Long words[2];
    const Long* find(const WordKey& key) const {
      for (const Long& word : words) {
        if (word.key == key && word.num_ids > 0) return &word;
      }
      return nullptr;
    }
    void add(const WordKey& key, const int32_t* ids, uint32_t num_ids) {
      words[1] = words[0];
      words[0].key = key;
      words[0].num_ids = num_ids;
      std::copy(ids, ids + num_ids, words[0].ids);
    }
  };
  LongSet& long_set_of(uint64_t hash) { return long_[hash & (kNumLong - 1)]; }

  // Longer ones and those of more tokens: rulers and deep indentation. All are forgotten when there
  // are too many.
  static constexpr size_t kMaxRareBytes = 256;
  const std::vector<int32_t>* find_rare(std::string_view word) const {
    const auto found = rare_.find(word);
    return found == rare_.end() ? nullptr : &found->second;
  }
  void add_rare(std::string_view word, const std::vector<int32_t>& ids) {
    if (rare_.size() == kNumRare) rare_.clear();
    rare_.emplace(word, ids);
  }

 private:
  // Eight megabytes and four: one word in eight hundred of a book then misses it on a second reading.
  static constexpr size_t kNumRare = 2048, kNumShort = size_t{1} << 17, kNumLong = size_t{1} << 14;
  HugeVector<Set> short_ = HugeVector<Set>(kNumShort);
  HugeVector<LongSet> long_ = HugeVector<LongSet>(kNumLong);
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
  };
  std::unordered_map<std::string, std::vector<int32_t>, Hash, std::equal_to<>> rare_;
};

}  // namespace lathe
