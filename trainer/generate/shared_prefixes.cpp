#include "trainer/generate/shared_prefixes.h"

#include <algorithm>

namespace lathe {
namespace {

// Whole blocks before the last token.
int64_t whole_blocks(std::span<const int64_t> prompt) {
  return (std::ssize(prompt) - 1) / kKvBlock;
}

std::vector<int64_t> tokens_of(std::span<const int64_t> prompt, int64_t block) {
  const auto tokens = prompt.subspan(static_cast<size_t>(block * kKvBlock), kKvBlock);
  return {tokens.begin(), tokens.end()};
}

void append(const std::vector<at::Tensor>& blocks, KvCache& cache) {
  cache.blocks.push_back(blocks[0]);
  cache.length += kKvBlock;
  for (size_t i = 0; i < cache.companions.size(); ++i) {
    cache.companions[i].blocks.push_back(blocks[i + 1]);
    cache.companions[i].length += kKvBlock;
  }
}

}  // namespace

SharedPrefixes::SharedPrefixes(int64_t max_blocks) : max_blocks_(max_blocks) {}
SharedPrefixes::~SharedPrefixes() = default;

SharedPrefixes::Place SharedPrefixes::expect(std::span<const int64_t> prompt) {
  Node* node = &root_;
  for (int64_t block = 0; block < whole_blocks(prompt); ++block) {
    std::unique_ptr<Node>& next = node->next[tokens_of(prompt, block)];
    if (!next) next = std::make_unique<Node>();
    ++next->num_expected;
    node = next.get();
  }
  Place place;
  place.node = &root_;
  return place;
}

SharedPrefixes::Node* SharedPrefixes::next_of(const Node* node, int64_t blocks,
                                              std::span<const int64_t> prompt) {
  if (node == nullptr || blocks >= whole_blocks(prompt)) return nullptr;
  return node->next.at(tokens_of(prompt, blocks)).get();
}

bool SharedPrefixes::pass(Place& place, std::span<const int64_t> prompt, KvCache& cache) {
  while (Node* next = next_of(place.node, place.blocks, prompt)) {
    const int64_t begin = place.blocks * kKvBlock;
    if (cache.length >= begin + kKvBlock) {
      next->is_being_read = false;
      keep(*next, place.blocks, cache);
    } else if (cache.length == begin && !next->kept.empty()) {
      append(next->kept, cache);
    } else {
      return cache.length > begin || !next->is_being_read;
    }
    leave(*next);
    place.node = next;
    ++place.blocks;
  }
  return true;
}

void SharedPrefixes::read(const Place& place, std::span<const int64_t> prompt, int64_t end) {
  Place ahead = place;
  while (Node* next = next_of(ahead.node, ahead.blocks, prompt)) {
    if (++ahead.blocks * kKvBlock > end) return;
    next->is_being_read = true;
    ahead.node = next;
  }
}

void SharedPrefixes::keep(Node& node, int64_t block, const KvCache& cache) {
  if (node.num_expected < 2 || !node.kept.empty() || num_kept_ >= max_blocks_) return;
  const auto at = static_cast<size_t>(block);
  node.kept.push_back(cache.blocks[at]);
  for (const KvCache& companion : cache.companions) node.kept.push_back(companion.blocks[at]);
  ++num_kept_;
}

void SharedPrefixes::leave(Node& node) {
  if (--node.num_expected > 0 || node.kept.empty()) return;
  node.kept.clear();
  --num_kept_;
}

}  // namespace lathe
