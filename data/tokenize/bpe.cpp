#include "data/tokenize/bpe.h"

#include <algorithm>
#include <queue>

#include "data/tokenize/unicode.h"
#include "data/tokenize/vocabulary.h"

namespace lathe {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool is_one_character(std::string_view token) {
  return !token.empty() && utf8_length(token[0]) == token.size();
}

// Longer words than this are merged with a heap: the scan is quadratic.
constexpr size_t kShortWord = 64;

}  // namespace

int byte_of_fallback_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const int high = hex_digit(token[3]), low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Bpe::Bpe(const TokenizerSpec& spec, bool byte_level)
    : byte_level_(byte_level),
      byte_fallback_(spec.byte_fallback),
      fuse_unk_(spec.fuse_unk),
      ignore_merges_(spec.ignore_merges),
      unk_(spec.unk),
      character_ids_(byte_level ? 0 : spec.vocab.size()),
      pairs_(spec.merges.size()),
      near_(size_t{kNear} * kNear, {0, -1}) {
  byte_ids_.fill(-1);
  fallback_ids_.fill(-1);
  for (const VocabToken& token : spec.vocab) {
    const std::optional<std::string> bytes =
        byte_level_ ? bytes_of(token.token) : std::optional(token.token);
    if (!bytes || bytes->empty()) continue;
    if (byte_level_ && bytes->size() == 1)
      byte_ids_[static_cast<unsigned char>(bytes->front())] = token.id;
    if (!byte_level_ && is_one_character(*bytes)) {
      const char* p = bytes->data();
      character_ids_.set(next_code_point(p), token.id);
    }
    // The reference writes these tokens with capital digits.
    const int byte = byte_of_fallback_token(token.token);
    if (byte >= 0 &&
        std::none_of(token.token.begin() + 3, token.token.end(), [](char c) { return c >= 'a'; })) {
      fallback_ids_[byte] = token.id;
    }
    if (ignore_merges_) whole_words_.emplace(*bytes, token.id);
  }
  for (const Merge& merge : spec.merges) {
    const Joined joined{merge.rank, merge.result};
    pairs_.set(key_of(merge.left, merge.right), joined);
    const auto left = static_cast<uint32_t>(merge.left), right = static_cast<uint32_t>(merge.right);
    if ((left | right) < kNear) near_[left * kNear + right] = joined;
  }
  const auto complete = [](const std::array<int32_t, 256>& ids) {
    return std::all_of(ids.begin(), ids.end(), [](int32_t id) { return id >= 0; });
  };
  find_starts(spec);
  lossless_ = byte_level_ ? complete(byte_ids_) : byte_fallback_ && complete(fallback_ids_);
  if (byte_level_ && lossless_) prepare_lanes(spec);
}

void Bpe::begin_with_bytes(std::string_view word, std::vector<Symbol>& symbols) const {
  std::optional<Symbol> unknown;
  const auto flush = [&] {
    if (unknown) symbols.push_back(*unknown);
    unknown.reset();
  };
  for (uint32_t i = 0; i < word.size(); ++i) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(word[i])];
    if (id >= 0) {
      flush();
      symbols.push_back({id, i, i + 1});
    } else if (unk_) {
      if (!fuse_unk_) flush();
      unknown = Symbol{*unk_, unknown ? unknown->begin : i, i + 1};
    }
  }
  flush();
}

void Bpe::begin_with_characters(std::string_view word, std::vector<Symbol>& symbols) const {
  std::optional<Symbol> unknown;
  const auto flush = [&] {
    if (unknown) symbols.push_back(*unknown);
    unknown.reset();
  };
  for (const char* p = word.data(); p < word.data() + word.size();) {
    const auto begin = static_cast<uint32_t>(p - word.data());
    const int32_t* id = character_ids_.find(next_code_point(p));
    const auto end = static_cast<uint32_t>(p - word.data());
    if (id) {
      flush();
      symbols.push_back({*id, begin, end});
      continue;
    }
    const auto fallback = [&](uint32_t i) {
      return fallback_ids_[static_cast<unsigned char>(word[i])];
    };
    bool all = byte_fallback_;
    for (uint32_t i = begin; i < end; ++i) all = all && fallback(i) >= 0;
    if (all) {  // what is unknown before it stays pending: the reference puts it behind
      for (uint32_t i = begin; i < end; ++i) symbols.push_back({fallback(i), i, i + 1});
    } else if (unk_) {
      if (!fuse_unk_) flush();
      unknown = Symbol{*unk_, unknown ? unknown->begin : begin, end};
    }
  }
  flush();
}

void Bpe::merge_short(std::vector<Symbol>& symbols) const {
  std::array<const Joined*, kShortWord> pairs;
  for (size_t i = 0; i + 1 < symbols.size(); ++i) pairs[i] = pair(symbols[i].id, symbols[i + 1].id);
  while (symbols.size() > 1) {
    size_t best = symbols.size();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (pairs[i] && (best == symbols.size() || pairs[i]->rank < pairs[best]->rank)) best = i;
    }
    if (best == symbols.size()) return;
    symbols[best] = {pairs[best]->id, symbols[best].begin, symbols[best + 1].end};
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(pairs.begin() + best + 1, pairs.begin() + symbols.size(), pairs.begin() + best);
    if (best > 0) pairs[best - 1] = pair(symbols[best - 1].id, symbols[best].id);
    if (best + 1 < symbols.size()) pairs[best] = pair(symbols[best].id, symbols[best + 1].id);
  }
}

void Bpe::merge_long(std::vector<Symbol>& symbols) const {
  struct Candidate {
    uint32_t rank, at;
    int32_t id;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const auto n = static_cast<uint32_t>(symbols.size());
  std::vector<uint32_t> next(n), previous(n);  // n: none
  std::vector<Candidate> heap;
  const auto offer = [&](uint32_t at) {
    if (at >= n || next[at] >= n) return false;
    const Joined* joined = pair(symbols[at].id, symbols[next[at]].id);
    if (joined) heap.push_back({joined->rank, at, joined->id});
    return joined != nullptr;
  };
  for (uint32_t i = 0; i < n; ++i) next[i] = i + 1, previous[i] = i == 0 ? n : i - 1;
  for (uint32_t i = 0; i < n; ++i) offer(i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const Candidate best = heap.back();
    heap.pop_back();
    // The pair may have changed since: then it is no longer there, or joins to something else.
    const uint32_t right = symbols[best.at].id < 0 ? n : next[best.at];
    if (right >= n) continue;
    const Joined* joined = pair(symbols[best.at].id, symbols[right].id);
    if (!joined || joined->id != best.id) continue;
    symbols[best.at] = {best.id, symbols[best.at].begin, symbols[right].end};
    symbols[right].id = -1;
    next[best.at] = next[right];
    if (next[right] < n) previous[next[right]] = best.at;
    if (offer(best.at)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
    if (offer(previous[best.at])) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  std::erase_if(symbols, [](const Symbol& symbol) { return symbol.id < 0; });
}

void Bpe::encode(std::string_view word, std::vector<Symbol>& out) const {
  if (ignore_merges_) {
    const auto whole = whole_words_.find(std::string(word));
    if (whole != whole_words_.end()) {
      out.push_back({whole->second, 0, static_cast<uint32_t>(word.size())});
      return;
    }
  }
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  byte_level_ ? begin_with_bytes(word, symbols) : begin_with_characters(word, symbols);
  symbols.size() <= kShortWord ? merge_short(symbols) : merge_long(symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

}  // namespace lathe
