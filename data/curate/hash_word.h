#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lathe {

// A hash for words in tables: fast, not for files, never 0. Eight bytes behind the text must be
// readable.
inline uint64_t hash_word(const char* bytes, size_t size) {
  constexpr uint64_t kA = 0x9E3779B97F4A7C15, kB = 0xD6E8FEB86659FD93;
  const auto mix = [](uint64_t a) {
    const auto product = static_cast<unsigned __int128>(a) * kB;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  const auto load8 = [](const char* from) {
    uint64_t value;
    std::memcpy(&value, from, 8);
    return value;
  };
  uint64_t hash = (size + 1) * kA;
  while (size > 8) {
    hash = mix(hash ^ load8(bytes));
    bytes += 8;
    size -= 8;
  }
  const uint64_t tail = size == 0 ? 0 : load8(bytes) & (~uint64_t{0} >> (64 - 8 * size));
  return mix(hash ^ tail) | 1;
}

}  // namespace lathe
