#include "data/shards/hdf5_write.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "data/shards/hash.h"
#include "data/shards/verified_range.h"

namespace lathe::hdf5 {
namespace {

Handle untimed(hid_t kind) {
  Handle properties(H5Pcreate(kind), H5Pclose, "creation properties");
  check(H5Pset_obj_track_times(properties, false), "creation properties");
  return properties;
}

// Returns where the data lies, or the end of the address space when there is none.
uint64_t write_list(hid_t at, const std::string& name, hid_t type, const void* values,
                    hsize_t count) {
  const Handle properties = untimed(H5P_DATASET_CREATE);
  check(H5Pset_layout(properties, H5D_CONTIGUOUS), name);
  check(H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY), name);
  check(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER), name);
  const Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose, name);
  const Handle dataset(
      H5Dcreate2(at, name.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose,
      name);
  if (count == 0) return std::numeric_limits<uint64_t>::max();
  check(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), name);
  return H5Dget_offset(dataset);
}

}  // namespace

Handle create_file(const std::string& temporary, const std::string& path) {
  const Handle access = access_properties();
  const Handle creation = untimed(H5P_FILE_CREATE);
  return Handle(H5Fcreate(temporary.c_str(), H5F_ACC_EXCL, creation, access), H5Fclose,
                path + ": can not be created");
}

Handle create_group(hid_t at, const std::string& name) {
  const Handle properties = untimed(H5P_GROUP_CREATE);
  return Handle(H5Gcreate2(at, name.c_str(), H5P_DEFAULT, properties, H5P_DEFAULT), H5Gclose, name);
}

void write_hashed(hid_t group, hid_t hashes, const char* name, hid_t type, std::string_view bytes,
                  uint64_t count, Layout& layout) {
  std::vector<uint64_t> list;
  for (size_t at = 0; at < bytes.size(); at += kBlockBytes)
    list.push_back(hash_bytes(bytes.substr(at, kBlockBytes)));
  layout.head = std::min(layout.head, write_list(group, name, type, bytes.data(), count));
  layout.head =
      std::min(layout.head, write_list(hashes, name, H5T_STD_U64LE, list.data(), list.size()));
  layout.data += bytes.size() + list.size() * sizeof(uint64_t);
}

uint64_t close_file(Handle& file, const Layout& layout, const std::string& temporary,
                    const std::string& path) {
  check(file.reset(), path + ": can not be closed");
  if (std::filesystem::file_size(temporary) != layout.head + layout.data) {
    throw std::logic_error(path +
                           ": HDF5 put metadata behind the data; kMetadataBytes is too small");
  }
  return layout.head;
}

}  // namespace lathe::hdf5
