#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "data/shards/hdf5.h"

// Writing files whose metadata all lie in one head at the front, with a hash for every block of
// data. No time stamps: the same numbers give the same bytes.
namespace lathe::hdf5 {

// temporary: what is written; path: what errors call it.
Handle create_file(const std::string& temporary, const std::string& path);
Handle create_group(hid_t at, const std::string& name);

// Where the data of a file begin, and how many bytes they are.
struct Layout {
  uint64_t head = std::numeric_limits<uint64_t>::max(), data = 0;
};

// One data set of `count` numbers and the hashes of its blocks.
void write_hashed(hid_t group, hid_t hashes, const char* name, hid_t type, std::string_view bytes,
                  uint64_t count, Layout& layout);

template <typename T>
void write_hashed(hid_t group, hid_t hashes, const char* name, hid_t type,
                  const std::vector<T>& values, Layout& layout) {
  write_hashed(group, hashes, name, type,
               {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)},
               values.size(), layout);
}

// Closes the file and returns the bytes of its head.
uint64_t close_file(Handle& file, const Layout& layout, const std::string& temporary,
                    const std::string& path);

}  // namespace lathe::hdf5
