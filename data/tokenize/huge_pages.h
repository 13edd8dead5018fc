#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <vector>

// Memory for tables that are read at random: with pages of 2 MiB where the system gives them, a
// look-up does not wait for the page's address as well.
namespace lathe {

template <typename T>
struct HugePages {
  using value_type = T;
  static constexpr size_t kPage = size_t{2} << 20;

  HugePages() = default;
  template <typename U>
  HugePages(const HugePages<U>&) {}

  T* allocate(size_t count) {
    if (count > (~size_t{0} - kPage) / sizeof(T)) throw std::bad_alloc();
    const size_t bytes = (count * sizeof(T) + kPage - 1) / kPage * kPage;
    void* memory = std::aligned_alloc(kPage, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    ::madvise(memory, bytes, MADV_HUGEPAGE);  // a wish, not a need
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { std::free(memory); }
  bool operator==(const HugePages&) const { return true; }
};

template <typename T>
using HugeVector = std::vector<T, HugePages<T>>;

// Brings a table near, line after line: much sooner done than by look-ups here and there.
template <typename Vector>
void fetch_all(const Vector& table) {
  const char* begin = reinterpret_cast<const char*>(table.data());
  const char* end = begin + table.size() * sizeof(table[0]);
  for (const char* line = begin; line < end; line += 64) __builtin_prefetch(line);
  asm volatile("");  // g++ drops calls of a function that only prefetches
}

}  // namespace lathe
