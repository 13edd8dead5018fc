#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

// xxh64 (seed 0), the hash of everything that data/ writes.
namespace lathe {

uint64_t hash_bytes(std::string_view bytes);

// The same over pieces that come one after another.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  void add(const void* bytes, size_t size);
  void add(std::string_view bytes) { add(bytes.data(), bytes.size()); }
  uint64_t digest() const;
  void reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hex16(uint64_t hash);

}  // namespace lathe
