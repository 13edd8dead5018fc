#include "trainer/kv_cache.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <string>

namespace lathe {

at::Tensor KvPool::take() {
  at::Tensor memory;
  if (free_.empty()) {
    memory = at::empty(shape_, options_);
  } else {
    memory = std::move(free_.back());
    free_.pop_back();
  }
  ++num_in_use_;
  return at::from_blob(
      memory.data_ptr(), shape_, [this, memory](void*) { give_back(memory); }, options_);
}

void KvPool::give_back(const at::Tensor& memory) {
  free_.push_back(memory);
  if (--num_in_use_ == 0) free_.clear();
}

void KvCache::make_room(int64_t count) {
  const int64_t end = length + count;
  if (end > capacity) {
    throw std::invalid_argument("a KV cache of capacity " + std::to_string(capacity) +
                                " cannot hold " + std::to_string(end) + " tokens");
  }
  blocks.resize(static_cast<size_t>((length + kKvBlock - 1) / kKvBlock));
  if (length % kKvBlock != 0 && count > 0 && blocks.back().use_count() > 1) {
    at::Tensor own = pool->take();
    own.copy_(blocks.back());
    blocks.back() = own;
  }
  while (std::ssize(blocks) * kKvBlock < end) blocks.push_back(pool->take());
}

void KvCache::forget() {
  length = 0;
  blocks.clear();
  for (KvCache& companion : companions) companion.forget();
}

}  // namespace lathe
