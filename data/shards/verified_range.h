#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/shards/file.h"
#include "data/shards/hash.h"

// A byte range of a file that has a hash per block. A block is checked the first time any byte of
// it is read, in the same pass that reads it; from then on its bytes are read without. Thread-safe:
// two threads that meet in a fresh block both check it.
namespace lathe {

inline constexpr uint64_t kBlockBytes = 1 << 20;

class VerifiedRange {
 public:
  VerifiedRange() = default;
  // what: how errors call it. hashes: one per block of kBlockBytes, the last block may be short.
  VerifiedRange(const ReadFile* file, std::string what, uint64_t offset, uint64_t bytes,
                std::vector<uint64_t> hashes);

  uint64_t bytes() const { return bytes_; }
  const std::string& what() const { return what_; }

  // Calls sink(pointer, bytes) with the range's bytes [begin, end), in order, in pieces. Throws
  // std::runtime_error when a block is damaged; what the sink got of that block is then worthless.
  template <typename Sink>
  void read(uint64_t begin, uint64_t end, Sink&& sink) const {
    while (begin < end) {
      const uint64_t block = begin / kBlockBytes;
      const uint64_t stop = std::min(end, (block + 1) * kBlockBytes);
      if (checked(block)) {
        sink(file_->view(offset_ + begin, stop - begin), stop - begin);
      } else {
        check_block(block, begin, stop, sink);
      }
      begin = stop;
    }
  }

 private:
  static constexpr uint64_t kPieceBytes = 4096;

  bool checked(uint64_t block) const {
    return checked_[block / 64].load(std::memory_order_relaxed) >> (block % 64) & 1;
  }

  // Hashes the block piece by piece, and gives the sink each piece's part of [begin, end) while it
  // is still in the cache.
  template <typename Sink>
  void check_block(uint64_t block, uint64_t begin, uint64_t end, Sink& sink) const {
    const uint64_t first = block * kBlockBytes, last = std::min(bytes_, first + kBlockBytes);
    const char* bytes = file_->view_now(offset_ + first, last - first);
    Hasher hasher;
    for (uint64_t at = first; at < last; at += kPieceBytes) {
      const uint64_t size = std::min(kPieceBytes, last - at);
      // The processor's own fetching ahead stops at the end of a page.
      for (uint64_t next = at + size; next < std::min(at + 2 * size, last); next += 64)
        __builtin_prefetch(bytes + (next - first));
      hasher.add(bytes + (at - first), size);
      const uint64_t from = std::max(at, begin), to = std::min(at + size, end);
      if (from < to) sink(bytes + (from - first), to - from);
    }
    settle(block, hasher.digest());
  }

  void settle(uint64_t block, uint64_t found) const;

  const ReadFile* file_ = nullptr;
  std::string what_;
  uint64_t offset_ = 0, bytes_ = 0;
  std::vector<uint64_t> hashes_;
  std::unique_ptr<std::atomic<uint64_t>[]> checked_;  // one bit per block
};

}  // namespace lathe
