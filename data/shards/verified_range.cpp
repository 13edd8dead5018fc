#include "data/shards/verified_range.h"

#include <fmt/format.h>

#include <stdexcept>

namespace lathe {

VerifiedRange::VerifiedRange(const ReadFile* file, std::string what, uint64_t offset,
                             uint64_t bytes, std::vector<uint64_t> hashes)
    : file_(file),
      what_(std::move(what)),
      offset_(offset),
      bytes_(bytes),
      hashes_(std::move(hashes)),
      checked_(std::make_unique<std::atomic<uint64_t>[]>(hashes_.size() / 64 + 1)) {
  const uint64_t blocks = (bytes_ + kBlockBytes - 1) / kBlockBytes;
  if (hashes_.size() != blocks) {
    throw std::runtime_error(fmt::format("{}: has {} block hashes, {} blocks were expected", what_,
                                         hashes_.size(), blocks));
  }
}

void VerifiedRange::settle(uint64_t block, uint64_t found) const {
  if (found != hashes_[block]) {
    throw std::runtime_error(
        fmt::format("{}: block {} (file bytes {} to {}) is damaged: its xxh64 is {}, {} was "
                    "written; copy or prepare the file anew",
                    what_, block, offset_ + block * kBlockBytes,
                    offset_ + std::min(bytes_, (block + 1) * kBlockBytes), hex16(found),
                    hex16(hashes_[block])));
  }
  checked_[block / 64].fetch_or(uint64_t{1} << (block % 64), std::memory_order_relaxed);
}

}  // namespace lathe
