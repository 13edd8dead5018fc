#include "parallel/buffer_pool.h"

namespace lathe {

namespace {

c10::DataPtr taken_from(const at::Tensor& flat) {
  c10::StorageImpl& storage = *flat.storage().unsafeGetStorageImpl();
  storage.set_nbytes(0);
  return storage.set_data_ptr(c10::DataPtr(nullptr, storage.device()));
}

}  // namespace

void BufferPool::drop(const at::Tensor& flat) { taken_from(flat); }

void BufferPool::release(const at::Tensor& flat) {
  const size_t bytes = bytes_of(flat);
  c10::DataPtr memory = taken_from(flat);
  const auto wanted = wanted_.find(bytes);
  if (wanted != wanted_.end() && wanted->second > 1) free_[bytes].push_back(std::move(memory));
}

void BufferPool::reserve(const at::Tensor& flat) {
  c10::StorageImpl& storage = *flat.storage().unsafeGetStorageImpl();
  const size_t bytes = bytes_of(flat);
  std::vector<c10::DataPtr>& free = free_[bytes];
  if (free.empty()) free.push_back(storage.allocator()->allocate(bytes));
  storage.set_data_ptr_noswap(std::move(free.back()));
  storage.set_nbytes(bytes);
  free.pop_back();
}

}  // namespace lathe
