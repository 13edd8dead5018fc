#include <algorithm>
#include <limits>

#include "data/tokenize/bpe_merging.h"
#include "data/tokenize/unicode.h"
#include "data/tokenize/vocabulary.h"

// The quick form of Bpe::encode. A byte-level text in Chinese would begin with three symbols a
// character, most of whose merges are the same every time. Where that can be proved, a character
// begins with what its bytes become by themselves.
//
// The proof. Suppose every merge has a higher rank than those that make its two parts. Then merges
// happen in the order of their ranks. A piece at the edge of a character, there until it is merged
// inside at rank r, can be taken by a neighbour outside only by a merge of rank below r. If the
// vocabulary has no such merge, for the first pieces with any token that may end a character before
// them and for the last pieces with any that may begin one behind, then nothing from outside
// touches the character before it is finished, and finishing it at once changes nothing.
namespace lathe {
namespace {

constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Whether the bytes can stand before the begin of a character.
bool may_end_a_character(std::string_view bytes) {
  for (size_t n = 1; n <= bytes.size(); ++n) {
    const char c = bytes[bytes.size() - n];
    if (!is_continuation(c)) return utf8_length(c) == n;
  }
  return true;  // the end of a character that began before them
}

struct Edges {
  bool in_order = true;  // every merge ranks behind those that make its parts
  std::vector<uint32_t>
      as_right;  // of each token: the lowest rank by which something before it takes it
  std::vector<uint32_t> as_left;  // the same from behind
};

Edges edges_of(const TokenizerSpec& spec) {
  int32_t highest = -1;
  for (const VocabToken& token : spec.vocab) highest = std::max(highest, token.id);
  const auto size = static_cast<size_t>(highest) + 1;
  std::vector<std::string> bytes(size);
  for (const VocabToken& token : spec.vocab) bytes[token.id] = bytes_of(token.token).value_or("");
  std::vector<int64_t> made_at(size, -1);
  for (const Merge& merge : spec.merges)
    made_at[merge.result] = std::max<int64_t>(made_at[merge.result], merge.rank);
  Edges edges{true, std::vector<uint32_t>(size, kNever), std::vector<uint32_t>(size, kNever)};
  for (const Merge& m : spec.merges) {
    if (made_at[m.left] >= m.rank || made_at[m.right] >= m.rank) edges.in_order = false;
    if (may_end_a_character(bytes[m.left]))
      edges.as_right[m.right] = std::min(edges.as_right[m.right], m.rank);
    const bool begins = !bytes[m.right].empty() && !is_continuation(bytes[m.right][0]);
    if (begins) edges.as_left[m.left] = std::min(edges.as_left[m.left], m.rank);
  }
  return edges;
}

}  // namespace

void Bpe::find_starts(const TokenizerSpec& spec) {
  if (!byte_level_) return;
  const Edges edges = edges_of(spec);
  starts_.assign(0x10000, -1);
  std::string text;
  for (uint32_t c = 0; c < 0x10000; ++c) {
    text.clear();
    append_utf8(c, text);
    std::vector<int32_t> pieces;
    for (const char byte : text) pieces.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    if (std::find(pieces.begin(), pieces.end(), -1) != pieces.end()) continue;
    bool alone = edges.in_order || c < 0x80;
    int64_t last_rank = -1;
    while (pieces.size() > 1) {
      size_t best = 0;
      const Joined* joined = nullptr;
      for (size_t i = 0; i + 1 < pieces.size(); ++i) {
        const Joined* candidate = pair(pieces[i], pieces[i + 1]);
        if (candidate && (!joined || candidate->rank < joined->rank)) joined = candidate, best = i;
      }
      if (!joined) break;
      if (best == 0 && edges.as_right[pieces.front()] < joined->rank) alone = false;
      if (best + 2 == pieces.size() && edges.as_left[pieces.back()] < joined->rank) alone = false;
      last_rank = joined->rank;
      pieces[best] = joined->id;
      pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    // The pieces at the edges that stay must not be taken before the last merge inside either: what
    // is behind them would lie open.
    const bool early =
        edges.as_right[pieces.front()] < last_rank || edges.as_left[pieces.back()] < last_rank;
    if (!alone || early) continue;
    if (pieces.size() == 1) {
      starts_[c] = pieces[0];
    } else {
      starts_[c] = -2 - static_cast<int32_t>(start_lists_.size());
      start_lists_.push_back(static_cast<int32_t>(pieces.size()));
      start_lists_.insert(start_lists_.end(), pieces.begin(), pieces.end());
    }
  }
}

size_t Bpe::begin_ids(std::string_view word, int32_t* ids) const {
  int32_t* out = ids;
  for (const char* p = word.data(); p < word.data() + word.size();) {
    const char* begin = p;
    const uint32_t c = next_code_point(p);
    int32_t start = -1;
    if (byte_level_) {
      start = c < 0x10000 ? starts_[c] : -1;
    } else if (const int32_t* id = character_ids_.find(c)) {
      start = *id;
    }
    if (start >= 0) {
      *out++ = start;
    } else if (start == -1) {
      const std::array<int32_t, 256>& bytes = byte_level_ ? byte_ids_ : fallback_ids_;
      for (; begin < p; ++begin) *out++ = bytes[static_cast<unsigned char>(*begin)];
    } else {
      const int32_t* list = &start_lists_[static_cast<size_t>(-2 - start)];
      out = std::copy(list + 1, list + 1 + list[0], out);
    }
  }
  return static_cast<size_t>(out - ids);
}

void Bpe::encode_ids(std::string_view word, std::vector<int32_t>& ids) const {
  constexpr size_t kMost = 64;
  const bool whole = ignore_merges_ && whole_words_.contains(std::string(word));
  if (whole || word.size() > kMost) {
    std::vector<Symbol> symbols;
    encode(word, symbols);
    for (const Symbol& symbol : symbols) ids.push_back(symbol.id);
    return;
  }
  if (word.empty()) return;
  Merging<kMost> merging;
  merging.begin(*this, word);
  while (merging.step()) {
  }
  int32_t pieces[kMost];
  ids.insert(ids.end(), pieces, merging.put(pieces));
}

void Bpe::encode_together(std::span<const std::string_view> words, ShortIds* ids) const {
  if (!table_.empty()) return encode_in_lanes(words, ids);
  constexpr size_t kTogether = 8;
  Merging<kMaxTogetherBytes> merging[kTogether];
  size_t word_of[kTogether];
  size_t going[kTogether];  // the first num_going of them
  size_t num_going = 0, next = 0;
  const auto begin = [&](size_t slot) {
    word_of[slot] = next;
    merging[slot].begin(*this, words[next++]);
  };
  while (num_going < std::min(words.size(), kTogether)) {
    begin(num_going);
    going[num_going] = num_going;
    ++num_going;
  }
  while (num_going > 0) {
    for (size_t i = 0; i < num_going;) {
      const size_t slot = going[i];
      if (merging[slot].step()) {
        ++i;
        continue;
      }
      ShortIds& result = ids[word_of[slot]];
      result.count = static_cast<uint32_t>(merging[slot].put(result.ids) - result.ids);
      next < words.size() ? begin(slot) : void(going[i] = going[--num_going]);
    }
  }
}

}  // namespace lathe
