#include "data/tokenize/vocabulary.h"

#include <algorithm>

#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

bool prints(uint32_t byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         (byte >= 0xAE && byte <= 0xFF);
}

// Bytes that print stand for themselves; the others take the characters from U+0100 on, in order.
std::array<uint32_t, 256> make_byte_characters() {
  std::array<uint32_t, 256> result{};
  uint32_t next = 0x100;
  for (uint32_t b = 0; b < 256; ++b) result[b] = prints(b) ? b : next++;
  return result;
}

}  // namespace

const std::array<uint32_t, 256>& byte_characters() {
  static const std::array<uint32_t, 256> characters = make_byte_characters();
  return characters;
}

std::optional<std::string> bytes_of(std::string_view token) {
  static const std::array<int, 0x180> bytes = [] {
    std::array<int, 0x180> result;
    result.fill(-1);
    for (int b = 0; b < 256; ++b) result[byte_characters()[b]] = b;
    return result;
  }();
  std::string result;
  for (const char* p = token.data(); p < token.data() + token.size();) {
    const uint32_t c = next_code_point(p);
    if (c >= bytes.size() || bytes[c] < 0) return std::nullopt;
    result.push_back(static_cast<char>(bytes[c]));
  }
  return result;
}

Vocabulary::Vocabulary(const TokenizerSpec& spec) {
  tokens_.reserve(spec.vocab.size() + spec.added.size());  // ids_ points into it
  int32_t highest = -1;
  for (const VocabToken& token : spec.vocab) highest = std::max(highest, token.id);
  for (const AddedToken& token : spec.added) highest = std::max(highest, token.id);
  index_.assign(static_cast<size_t>(highest) + 1, -1);
  special_.assign(index_.size(), false);
  added_.assign(index_.size(), false);
  ids_.reserve(tokens_.capacity());
  for (const VocabToken& token : spec.vocab) add(token.token, token.id);
  for (const AddedToken& token : spec.added) {
    if (index_[token.id] < 0) add(token.content, token.id);
    added_[token.id] = true;
    special_[token.id] = token.special;
  }
}

void Vocabulary::add(const std::string& token, int32_t id) {
  index_[id] = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  ids_.emplace(tokens_.back(), id);
}

std::optional<int32_t> Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace lathe
