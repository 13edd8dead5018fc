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

  // Calls sink(pointer, bytes) with the range's bytes [begin, end), in order, in pieces that stay
  // in the nearest cache. Throws std::runtime_error when a block is damaged; what the sink got of
  // that block is then worthless.
  template <typename Sink>
  void read(uint64_t begin, uint64_t end, Sink&& sink) const {
    alignas(64) char buffer[kPieceBytes];
    while (begin < end) {
      const uint64_t block = begin / kBlockBytes;
      const uint64_t stop = std::min(end, (block + 1) * kBlockBytes);
      if (checked(block)) {
        read_pieces(begin, stop, buffer, sink);
      } else {
        check_block(block, buffer, [&](uint64_t at, uint64_t size) {
          const uint64_t from = std::max(at, begin), to = std::min(at + size, stop);
          if (from < to) sink(buffer + (from - at), to - from);
        });
      }
      begin = stop;
    }
  }

 private:
  static constexpr uint64_t kPieceBytes = 64 << 10;

  bool checked(uint64_t block) const {
    return checked_[block / 64].load(std::memory_order_relaxed) >> (block % 64) & 1;
  }

  template <typename Sink>
  void read_pieces(uint64_t begin, uint64_t end, char* buffer, Sink& sink) const {
    for (uint64_t at = begin; at < end; at += kPieceBytes) {
      const uint64_t size = std::min(kPieceBytes, end - at);
      file_->read(buffer, size, offset_ + at);
      sink(static_cast<const char*>(buffer), size);
    }
  }

  template <typename Piece>
  void check_block(uint64_t block, char* buffer, Piece&& piece) const {
    const uint64_t end = std::min(bytes_, (block + 1) * kBlockBytes);
    Hasher hasher;
    for (uint64_t at = block * kBlockBytes; at < end; at += kPieceBytes) {
      const uint64_t size = std::min(kPieceBytes, end - at);
      file_->read(buffer, size, offset_ + at);
      hasher.add(buffer, size);
      piece(at, size);
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
