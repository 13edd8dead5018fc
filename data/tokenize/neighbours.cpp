#include "data/tokenize/neighbours.h"

namespace lathe {
namespace {

template <typename Visit>
void for_each_pair(const std::vector<std::string>& tokens, Visit visit) {
  for (const std::string& token : tokens) {
    const char* p = token.data();
    const char* end = p + token.size();
    if (p == end) continue;
    for (uint32_t left = next_code_point(p), right; p < end; left = right) {
      right = next_code_point(p);
      visit(left, right);
    }
  }
}

size_t count_pairs(const std::vector<std::string>& tokens) {
  size_t count = 0;
  for_each_pair(tokens, [&](uint32_t, uint32_t) { ++count; });
  return count;
}

}  // namespace

Neighbours::Neighbours(const std::vector<std::string>& tokens)
    : begins_(0x10000, false), pairs_(count_pairs(tokens)) {
  for_each_pair(tokens, [&](uint32_t left, uint32_t right) {
    if ((left | right) < 128) ascii_[left * 128 + right] = true;
    begins_[left & 0xFFFF] = true;
    pairs_.set(static_cast<uint64_t>(left) << 32 | right, 1);
  });
}

}  // namespace lathe
