#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "trainer/kv_cache.h"

namespace lathe {

// The beginnings that the prompts of a queue have in common, in whole blocks of a KvCache. What one
// sequence has read is kept while others still come for it, and none of them reads it again.
class SharedPrefixes {
  struct Node;

 public:
  // At most max_blocks are kept.
  explicit SharedPrefixes(int64_t max_blocks);
  ~SharedPrefixes();

  // Where a sequence stands: the last block of its prompt that it has in its cache. Default: of one
  // that shares nothing.
  class Place {
    friend SharedPrefixes;
    Node* node = nullptr;
    int64_t blocks = 0;
  };

  // A prompt that will come; returns where it begins.
  Place expect(std::span<const int64_t> prompt);
  // Moves on over the blocks that the cache holds, keeping those that others come for, and puts
  // kept ones behind them into the cache; never the last token of the prompt, which has to be read.
  // False: somebody reads the next block just now.
  bool pass(Place& place, std::span<const int64_t> prompt, KvCache& cache);
  // The sequence at `place` is about to read up to token `end`. Holds until it passes.
  void read(const Place& place, std::span<const int64_t> prompt, int64_t end);

 private:
  // A block after those on the way to it.
  struct Node {
    std::map<std::vector<int64_t>, std::unique_ptr<Node>> next;  // by the tokens
    std::vector<at::Tensor> kept;  // the block, and its companions'; empty: not kept
    int64_t num_expected = 0;      // prompts that have not passed yet
    bool is_being_read = false;
  };

  static Node* next_of(const Node* node, int64_t blocks, std::span<const int64_t> prompt);
  void keep(Node& node, int64_t block, const KvCache& cache);
  void leave(Node& node);

  Node root_;
  int64_t max_blocks_, num_kept_ = 0;
};

}  // namespace lathe
