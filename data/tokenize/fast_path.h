#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "data/tokenize/bpe.h"
#include "data/tokenize/neighbours.h"
#include "data/tokenize/splitter.h"
#include "data/tokenize/word_table.h"

// The quick way from plain text to ids for the tokenizers that models really have: byte-level with
// a known pattern, and byte fallback with spaces written as U+2581. No rewritten text, no regex
// engine, most words looked up. It gives what the plain path gives; what it can not do it leaves to
// that.
namespace lathe {

class FastPath {
 public:
  // Nothing when the tokenizer is of another kind.
  static std::unique_ptr<FastPath> make(const TokenizerSpec& spec, const Bpe& bpe);

  // Appends the ids of a text that holds no added token. at_start: it stands at the very start of
  // the input. False: nothing was done, take the plain path.
  bool encode(std::string_view text, bool at_start, std::vector<int32_t>& ids) const;

  // When all is loaded, so that a first text finds the tables near.
  void fetch_tables() const {
    words_.fetch();
    bpe_.fetch_tables();
    for (const auto& cache : caches_) cache->fetch();
  }

  // How many bytes of the text each token stands for, one space that was put before the text
  // (leading_space()) included.
  uint32_t length_of(int32_t id) const { return lengths_[id]; }
  bool leading_space(std::string_view text, bool at_start) const;

 private:
  enum class Prefix { kNever, kAlways, kUnlessSpace, kFirstUnlessSpace };
  struct Shape {
    std::optional<Splitter::Pattern> pattern;
    bool nfc = false;
    Prefix prefix = Prefix::kNever;
  };
  static std::optional<Shape> shape_of(const TokenizerSpec& spec);
  FastPath(const TokenizerSpec& spec, const Bpe& bpe, const Shape& shape);

  class Batch;
  void add_parts(const char* p, const char* end, const char* readable, Batch& batch) const;
  void find_characters();
  void merge(std::string_view word, std::vector<int32_t>& ids) const;

  // Caches are handed out one per call and come back: no two threads share one. They begin with the
  // words that the vocabulary itself says are common.
  static constexpr size_t kMostCommon = 65536;
  std::unique_ptr<WordCache> new_cache() const;
  std::unique_ptr<WordCache> take_cache() const;
  void give_back(std::unique_ptr<WordCache> cache) const;

  const Bpe& bpe_;
  const Shape shape_;
  const bool ignore_merges_;
  std::optional<Splitter> splitter_;
  Neighbours neighbours_;
  WordTable words_;  // that are one token; spaces written as spaces
  struct Common {
    ShortKey key;
    int32_t id;
  };
  std::vector<Common> common_;  // the most common of them
  std::vector<uint32_t> lengths_;
  // What each of U+0080 ... U+FFFF is by itself: a token, or one for each of its bytes at most.
  struct Character {
    int32_t ids[3];
    uint32_t num_ids;
  };
  std::vector<Character> characters_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<WordCache>> caches_;
};

}  // namespace lathe
