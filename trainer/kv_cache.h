#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

// Keys and values of sequences that are being generated, in blocks of a few tokens, so that
// sequences which begin alike hold the same memory.
//
// Shape letters: L layers, K key/value heads, D head size, B tokens of a block.
namespace lathe {

constexpr int64_t kKvBlock = 32;

// Memory for blocks of one model. What is given back is handed out again, until none is in use:
// then it is freed. Outlives its blocks.
class KvPool {
 public:
  KvPool(std::vector<int64_t> shape, at::TensorOptions options)
      : shape_(std::move(shape)), options_(options) {}
  KvPool(const KvPool&) = delete;

  // Values are undefined. It comes back with the last copy of this handle.
  at::Tensor take();
  int64_t num_in_use() const { return num_in_use_; }

 private:
  void give_back(const at::Tensor& memory);

  std::vector<int64_t> shape_;
  at::TensorOptions options_;
  std::vector<at::Tensor> free_;
  int64_t num_in_use_ = 0;
};

// What the model holds of one sequence; the model appends to it. A copy shares all blocks: whoever
// writes to one that others hold too takes a copy of that block first.
struct KvCache {
  std::vector<at::Tensor> blocks;  // [L, 2, K, B, D]: keys, values
  int64_t length = 0;              // tokens held; set back, it forgets the end
  int64_t capacity = 0;
  KvPool* pool = nullptr;
  std::vector<KvCache> companions = {};  // of models that read the same tokens beside this one

  // Memory for `count` tokens more, which nobody else writes to. std::invalid_argument beyond the
  // capacity.
  void make_room(int64_t count);
  // Nothing is held any longer.
  void forget();
};

}  // namespace lathe
