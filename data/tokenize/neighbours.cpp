#include "data/tokenize/neighbours.h"

#include <algorithm>

namespace lathe {
namespace {

// A character, or what a token holds of one: its first bytes, or its last byte.
constexpr uint32_t kFirstBytes = 0x80000000, kLastByte = 0x40000000;

uint32_t byte_at(const char* p) { return static_cast<unsigned char>(*p); }
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

uint32_t first_bytes(const char* p, size_t count) {
  uint32_t code = 0;
  for (size_t i = 0; i < count; ++i) code = code << 8 | byte_at(p + i);
  return kFirstBytes | code;
}

}  // namespace

template <typename Visit>
void Neighbours::for_each_pair(const std::string& token, Visit visit) {
  const char* p = token.data();
  const char* end = p + token.size();
  uint32_t left = 0;
  bool first = true;
  while (p < end) {
    uint32_t unit;
    if (is_continuation(*p)) {
      while (p < end && is_continuation(*p)) ++p;
      unit = kLastByte | byte_at(p - 1);
    } else if (static_cast<size_t>(end - p) < utf8_length(*p)) {
      unit = first_bytes(p, static_cast<size_t>(end - p));
      p = end;
    } else {
      unit = next_code_point(p);
    }
    if (!first) visit(left, unit);
    left = unit;
    first = false;
  }
}

Neighbours::Neighbours(const std::vector<std::string>& tokens)
    : cut_behind_(0x10000, 0), cut_before_(0x10000, 0), cut_twice_(0x10000, false) {
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  const auto visit = [&](uint32_t left, uint32_t right) {
    if ((left | right) < 128) {
      ascii_[left * 128 + right] = true;
    } else if (left & kLastByte && right & kFirstBytes) {
      uint32_t lead = right & ~kFirstBytes;
      while (lead > 0xFF) lead >>= 8;
      any_cut_twice_ = true;
      cut_twice_[(left & 0xFF) << 8 | lead] = true;
    } else {
      if (right & kFirstBytes) cut_behind_[left & 0xFFFF] = 1;
      if (left & kLastByte) cut_before_[right & 0xFFFF] = 1;
      pairs.emplace_back(left, right);
    }
  };
  for (const std::string& token : tokens) for_each_pair(token, visit);
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  pairs_ = FlatMap<char>(pairs.size());
  int bits = 4;
  while (uint64_t{2} << bits < 3 * pairs.size()) ++bits;
  near_pairs_.assign(size_t{1} << bits, 0);
  shift_ = 64 - bits;
  for (const auto& [left, right] : pairs) add(left, right);
}

void Neighbours::add(uint32_t left, uint32_t right) {
  const uint64_t hash = hash_of(left, right);
  const size_t bit = hash >> (64 - kBits);
  bits_[bit / 64] |= uint64_t{1} << (bit % 64);
  if ((left | right) > 0xFFFF) return pairs_.set(static_cast<uint64_t>(left) << 32 | right, 1);
  const uint32_t pair = left << 16 | right;
  near_pairs_[slot_of(pair, hash)] = pair;
}

bool Neighbours::cut_together(uint32_t left, uint32_t right, const char* left_begin,
                              const char* right_begin) const {
  if (cut_behind_[left & 0xFFFF]) {
    for (size_t n = 1; n < utf8_length(*right_begin); ++n) {
      if (has(left, first_bytes(right_begin, n))) return true;
    }
  }
  const char* last = right_begin - 1;
  if (last == left_begin) return false;  // a character of one byte is never cut
  if (cut_before_[right & 0xFFFF] && has(kLastByte | byte_at(last), right)) return true;
  return cut_twice_[byte_at(last) << 8 | byte_at(right_begin)];
}

}  // namespace lathe
