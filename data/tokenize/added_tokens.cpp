#include "data/tokenize/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

bool ends_with_word(std::string_view text) {
  const char* p = text.data() + text.size();
  return !text.empty() && is_word(previous_code_point(p));
}

bool starts_with_word(std::string_view text) {
  const char* p = text.data();
  return !text.empty() && is_word(next_code_point(p));
}

size_t without_trailing_space(std::string_view text) {
  const char* end = text.data() + text.size();
  for (const char* p = end; p > text.data() && is_space(previous_code_point(p));) end = p;
  return static_cast<size_t>(end - text.data());
}

size_t leading_space(std::string_view text) {
  const char* begin = text.data();
  for (const char* p = begin; p < text.data() + text.size() && is_space(next_code_point(p));)
    begin = p;
  return static_cast<size_t>(begin - text.data());
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens,
                         const std::vector<std::string>& patterns)
    : tokens_(tokens) {
  roots_.fill(-1);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (!patterns[i].empty()) insert(patterns[i], static_cast<int32_t>(i));
  }
  int first_bytes = 0;
  for (int b = 0; b < 256; ++b) {
    if (roots_[b] >= 0) only_first_byte_ = b, ++first_bytes;
  }
  if (first_bytes != 1) only_first_byte_ = -1;
}

int32_t AddedTokens::child(int32_t node, unsigned char byte) const {
  int32_t at = nodes_[node].first_child;
  while (at >= 0 && nodes_[at].byte != byte) at = nodes_[at].next_sibling;
  return at;
}

void AddedTokens::insert(std::string_view pattern, int32_t token) {
  const auto add = [&](unsigned char byte) {
    nodes_.push_back({-1, -1, -1, byte});
    return static_cast<int32_t>(nodes_.size() - 1);
  };
  int32_t& root = roots_[static_cast<unsigned char>(pattern[0])];
  if (root < 0) root = add(static_cast<unsigned char>(pattern[0]));
  int32_t at = root;
  for (const char c : pattern.substr(1)) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t next = child(at, byte);
    if (next < 0) {
      next = add(byte);
      nodes_[next].next_sibling = nodes_[at].first_child;
      nodes_[at].first_child = next;
    }
    at = next;
  }
  if (nodes_[at].token < 0) nodes_[at].token = token;
}

AddedTokens::Match AddedTokens::longest_at(std::string_view text, size_t at) const {
  Match best;
  int32_t node = roots_[static_cast<unsigned char>(text[at])];
  for (size_t i = at + 1; node >= 0; ++i) {
    if (nodes_[node].token >= 0) best = {i - at, nodes_[node].token};
    if (i >= text.size()) break;
    node = child(node, static_cast<unsigned char>(text[i]));
  }
  return best;
}

size_t AddedTokens::next_candidate(std::string_view text, size_t from) const {
  if (from >= text.size()) return text.size();
  if (only_first_byte_ >= 0) {
    const void* found = std::memchr(text.data() + from, only_first_byte_, text.size() - from);
    return found ? static_cast<size_t>(static_cast<const char*>(found) - text.data()) : text.size();
  }
  while (from < text.size() && roots_[static_cast<unsigned char>(text[from])] < 0) ++from;
  return from;
}

bool AddedTokens::any_in(std::string_view text) const {
  if (nodes_.empty()) return false;
  for (size_t at = next_candidate(text, 0); at < text.size(); at = next_candidate(text, at + 1)) {
    if (longest_at(text, at).token >= 0) return true;
  }
  return false;
}

void AddedTokens::split(std::string_view text,
                        const std::function<void(size_t, size_t, int32_t)>& piece) const {
  size_t done = 0;
  size_t space_end = 0;  // the white space up to here was walked through already
  if (!nodes_.empty()) {
    for (size_t at = next_candidate(text, 0); at < text.size();) {
      const Match match = longest_at(text, at);
      if (match.token < 0) {
        at = next_candidate(text, at + 1);
        continue;
      }
      const AddedToken& token = tokens_[match.token];
      size_t begin = at, end = at + match.length;
      at = next_candidate(text, end);
      if (token.single_word &&
          (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
        continue;
      if (token.lstrip && begin > done)
        begin = done + without_trailing_space(text.substr(done, begin - done));
      if (token.rstrip) {
        if (end >= space_end) space_end = end + leading_space(text.substr(end));
        end = space_end;
      }
      begin = std::max(begin, done);  // the space may belong to the token before
      if (done < begin) piece(done, begin, -1);
      piece(begin, std::max(begin, end), token.id);
      done = std::max(begin, end);
    }
  }
  if (done < text.size()) piece(done, text.size(), -1);
}

}  // namespace lathe
