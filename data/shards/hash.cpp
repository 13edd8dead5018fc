#include "data/shards/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace lathe {

struct Hasher::State {
  XXH64_state_t* xxh = XXH64_createState();
  ~State() { XXH64_freeState(xxh); }
};

uint64_t hash_bytes(std::string_view bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

Hasher::Hasher() : state_(std::make_unique<State>()) { reset(); }
Hasher::~Hasher() = default;
void Hasher::add(const void* bytes, size_t size) { XXH64_update(state_->xxh, bytes, size); }
uint64_t Hasher::digest() const { return XXH64_digest(state_->xxh); }
void Hasher::reset() { XXH64_reset(state_->xxh, 0); }

std::string hex16(uint64_t hash) { return fmt::format("{:016x}", hash); }

}  // namespace lathe
