#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenize/flat_map.h"
#include "data/tokenize/merge_table.h"
#include "data/tokenize/spec.h"

// Byte pair encoding of one word: begin with single characters (or bytes), then join the neighbours
// whose pair has the lowest rank, the leftmost of equals, until no pair is left. As the reference
// does it, unknown characters included.
namespace lathe {

// A token of a word and the bytes of the word that it stands for.
struct Symbol {
  int32_t id;
  uint32_t begin, end;
};

class Bpe {
 public:
  // byte_level: the vocabulary is written in GPT-2's byte characters and words are bytes.
  Bpe(const TokenizerSpec& spec, bool byte_level);

  // Appends the word's tokens.
  void encode(std::string_view word, std::vector<Symbol>& out) const;

  // The same of valid UTF-8 for a lossless vocabulary, ids only and quicker: characters that always
  // become the same tokens first begin as those.
  void encode_ids(std::string_view word, std::vector<int32_t>& ids) const;

  // The same for several words, none empty or longer than kMaxTogetherBytes: while one waits for far
  // memory, the others go on. ids: one for each word. With ignore_merges only for words that are no
  // token.
  static constexpr size_t kMaxTogetherBytes = 15;
  struct ShortIds {
    uint32_t count;
    int32_t ids[kMaxTogetherBytes + 1];  // the last one never counts
  };
  void encode_together(std::span<const std::string_view> words, ShortIds* ids) const;

  void fetch_tables() const {
    pairs_.fetch();
    fetch_all(near_);
    fetch_all(starts_);
    table_.fetch();
    fetch_all(first_ranks_);
  }

  // Whether every text comes back whole: no byte is ever unknown.
  bool lossless() const { return lossless_; }

 private:
  struct Joined {
    uint32_t rank;
    int32_t id;
  };
  using Pairs = FlatMap<Joined>;

  // Tokens by which each character may begin (bpe_starts.cpp).
  void find_starts(const TokenizerSpec& spec);
  size_t begin_ids(std::string_view word, int32_t* ids) const;
  template <size_t kMost>
  class Merging;
  // encode_together() in vector registers (bpe_lanes.cpp), where the processor has them.
  class Lanes;
  void prepare_lanes(const TokenizerSpec& spec);
  void encode_in_lanes(std::span<const std::string_view> words, ShortIds* ids) const;

  void begin_with_bytes(std::string_view word, std::vector<Symbol>& symbols) const;
  void begin_with_characters(std::string_view word, std::vector<Symbol>& symbols) const;
  void merge_short(std::vector<Symbol>& symbols) const;
  void merge_long(std::vector<Symbol>& symbols) const;
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  const Joined* pair(int32_t left, int32_t right) const {
    const auto near = static_cast<uint32_t>(left | right);
    if (near >= kNear) return pairs_.find(key_of(left, right));
    const Joined& found = near_[static_cast<uint32_t>(left) * kNear + static_cast<uint32_t>(right)];
    return found.id >= 0 ? &found : nullptr;
  }

  bool byte_level_, byte_fallback_, fuse_unk_, ignore_merges_, lossless_ = false;
  std::optional<int32_t> unk_;
  std::array<int32_t, 256> byte_ids_;      // byte level: the token of each byte, -1: none
  std::array<int32_t, 256> fallback_ids_;  // <0x00> ... <0xFF>
  FlatMap<int32_t> character_ids_;
  Pairs pairs_;
  // The pairs of ids below kNear, where byte-level vocabularies have their bytes; id -1: none.
  static constexpr uint32_t kNear = 256;
  std::vector<Joined> near_;
  std::unordered_map<std::string, int32_t> whole_words_;  // for ignore_merges
  // Of U+0000 ... U+FFFF: a token, or -1: begin with its bytes, or -2 - i: the tokens at
  // start_lists_[i], their number first.
  std::vector<int32_t> starts_;
  std::vector<int32_t> start_lists_;
  // For encode_in_lanes(), else empty. Of two ASCII bytes: the rank of their pair.
  MergeTable table_;
  std::vector<uint32_t> first_ranks_;
};

// The token <0x41> and its like: their byte, else -1.
int byte_of_fallback_token(std::string_view token);

}  // namespace lathe
