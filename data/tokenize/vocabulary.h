#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenize/spec.h"

// Tokens by id and ids by token, added tokens included.
namespace lathe {

// GPT-2's way to write any byte as a printable character: the character of each byte.
const std::array<uint32_t, 256>& byte_characters();

// The bytes that a token of a byte-level vocabulary stands for; none if it holds a character that
// is no byte's.
std::optional<std::string> bytes_of(std::string_view token);

class Vocabulary {
 public:
  explicit Vocabulary(const TokenizerSpec& spec);

  int64_t size() const { return static_cast<int64_t>(index_.size()); }  // highest id + 1
  std::optional<int32_t> id_of(std::string_view token) const;
  bool has(int32_t id) const { return id >= 0 && id < size() && index_[id] >= 0; }
  const std::string& token(int32_t id) const { return tokens_[index_[id]]; }  // has(id) only
  bool is_special(int32_t id) const { return has(id) && special_[id]; }
  bool is_added(int32_t id) const { return has(id) && added_[id]; }

 private:
  void add(const std::string& token, int32_t id);
  std::vector<std::string> tokens_;
  std::vector<int32_t> index_;  // of each id: where in tokens_, -1: no such id
  std::vector<bool> special_, added_;
  std::unordered_map<std::string_view, int32_t> ids_;
};

}  // namespace lathe
