#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <utility>

// The little of HDF5 that shards need, with errors as std::runtime_error instead of lines on
// stderr.
namespace lathe::hdf5 {

// While it lives, HDF5 prints no errors in this thread.
class Quiet {
 public:
  Quiet();
  ~Quiet();

 private:
  H5E_auto2_t print_ = nullptr;
  void* data_ = nullptr;
};

// Throws "<what>: <HDF5's innermost words>" when code is negative; returns it otherwise.
int64_t check(int64_t code, const std::string& what);

class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle(hid_t id, Close close, const std::string& what) : id_(check(id, what)), close_(close) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  operator hid_t() const { return id_; }
  // Closes now and says whether that worked: a file is only written when this returned >= 0.
  herr_t reset() {
    const hid_t id = std::exchange(id_, -1);
    return id < 0 ? 0 : close_(id);
  }

 private:
  hid_t id_;
  Close close_;
};

// Access properties for both sides: newest format (its metadata carries checksums), no lock files
// (shards are immutable and may lie on file systems that know no locks), one small block at the
// front of the file for all metadata.
Handle access_properties();
Handle open_file(const std::string& path);
Handle open_group(hid_t at, const std::string& name, const std::string& what);
Handle open_dataset(hid_t at, const std::string& name, const std::string& what);
bool exists(hid_t at, const std::string& name);

void write_attribute(hid_t at, const char* name, const std::string& value);
void write_attribute(hid_t at, const char* name, int64_t value);
std::string read_string(hid_t at, const char* name, const std::string& what);
int64_t read_int(hid_t at, const char* name, const std::string& what);

// Where a contiguous, unfiltered data set of one dimension lies in its file.
struct Range {
  uint64_t offset = 0, count = 0;
  size_t element_bytes = 0;
  uint64_t bytes() const { return count * element_bytes; }
};
// Throws unless the data set is that, of little-endian unsigned integers, and inside file_bytes.
Range find_range(hid_t dataset, uint64_t file_bytes, const std::string& what);

}  // namespace lathe::hdf5
