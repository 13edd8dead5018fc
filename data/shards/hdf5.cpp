#include "data/shards/hdf5.h"

#include <fmt/format.h>

#include <stdexcept>

namespace lathe::hdf5 {
namespace {

// All metadata of a shard fits here (a column needs about 2 KiB), so that it is one piece at the
// front of the file.
constexpr hsize_t kMetadataBytes = 16 << 10;

herr_t keep_innermost(unsigned depth, const H5E_error2_t* error, void* words) {
  if (depth == 0 && error->desc) *static_cast<std::string*>(words) = error->desc;
  return 0;
}

Handle open_attribute(hid_t at, const char* name, const std::string& what) {
  return Handle(H5Aopen(at, name, H5P_DEFAULT), H5Aclose, what + ": attribute " + name);
}

Handle scalar_space() { return Handle(H5Screate(H5S_SCALAR), H5Sclose, "scalar"); }

Handle text_type(size_t size) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "text type");
  check(H5Tset_size(type, size), "text type");
  check(H5Tset_strpad(type, H5T_STR_NULLPAD), "text type");
  return type;
}

void write_attribute(hid_t at, const char* name, hid_t type, const void* value) {
  const Handle space = scalar_space();
  const Handle attribute(H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                         name);
  check(H5Awrite(attribute, type, value), name);
}

}  // namespace

Quiet::Quiet() {
  // HDF5's clean-up at exit complains of what damaged files made it leave open. Every handle here
  // is closed by its owner, so there is nothing to clean up. Only the first call, before H5open,
  // counts.
  H5dont_atexit();
  H5Eget_auto2(H5E_DEFAULT, &print_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}
Quiet::~Quiet() { H5Eset_auto2(H5E_DEFAULT, print_, data_); }

int64_t check(int64_t code, const std::string& what) {
  if (code >= 0) return code;
  std::string words = "unknown failure";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &words);
  throw std::runtime_error(fmt::format("{}: HDF5 says: {}", what, words));
}

Handle access_properties() {
  Handle properties(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "file access properties");
  check(H5Pset_libver_bounds(properties, H5F_LIBVER_V110, H5F_LIBVER_V110), "format version");
  check(H5Pset_meta_block_size(properties, kMetadataBytes), "metadata block");
  check(H5Pset_small_data_block_size(properties, 0), "data block");
  check(H5Pset_fclose_degree(properties, H5F_CLOSE_STRONG), "close degree");
  check(H5Pset_file_locking(properties, false, true), "file locking");
  return properties;
}

Handle open_file(const std::string& path) {
  const Handle properties = access_properties();
  return Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, properties), H5Fclose,
                path + ": is no whole HDF5 file");
}

Handle open_group(hid_t at, const std::string& name, const std::string& what) {
  return Handle(H5Gopen2(at, name.c_str(), H5P_DEFAULT), H5Gclose, what + ": group " + name);
}

Handle open_dataset(hid_t at, const std::string& name, const std::string& what) {
  return Handle(H5Dopen2(at, name.c_str(), H5P_DEFAULT), H5Dclose, what + ": data set " + name);
}

bool exists(hid_t at, const std::string& name) {
  return check(H5Lexists(at, name.c_str(), H5P_DEFAULT), name) > 0;
}

void write_attribute(hid_t at, const char* name, const std::string& value) {
  const std::string padded = value.empty() ? std::string(1, '\0') : value;
  write_attribute(at, name, text_type(padded.size()), padded.data());
}

void write_attribute(hid_t at, const char* name, int64_t value) {
  write_attribute(at, name, H5T_STD_I64LE, &value);
}

std::string read_string(hid_t at, const char* name, const std::string& what) {
  const Handle attribute = open_attribute(at, name, what);
  const Handle type(H5Aget_type(attribute), H5Tclose, what);
  const Handle space(H5Aget_space(attribute), H5Sclose, what);
  const size_t size = H5Tget_size(type);
  if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || size > 4096 ||
      H5Sget_simple_extent_npoints(space) != 1) {
    throw std::runtime_error(fmt::format("{}: attribute {} is not a short text", what, name));
  }
  std::string value(size, '\0');
  check(H5Aread(attribute, text_type(size), value.data()), what);
  value.resize(value.find_last_not_of('\0') + 1);
  return value;
}

int64_t read_int(hid_t at, const char* name, const std::string& what) {
  const Handle attribute = open_attribute(at, name, what);
  const Handle type(H5Aget_type(attribute), H5Tclose, what);
  const Handle space(H5Aget_space(attribute), H5Sclose, what);
  if (H5Tget_class(type) != H5T_INTEGER || H5Sget_simple_extent_npoints(space) != 1) {
    throw std::runtime_error(fmt::format("{}: attribute {} is not a number", what, name));
  }
  int64_t value = 0;
  check(H5Aread(attribute, H5T_NATIVE_INT64, &value), what);
  return value;
}

Range find_range(hid_t dataset, uint64_t file_bytes, const std::string& what) {
  const Handle type(H5Dget_type(dataset), H5Tclose, what);
  const Handle space(H5Dget_space(dataset), H5Sclose, what);
  const Handle creation(H5Dget_create_plist(dataset), H5Pclose, what);
  const bool number = (H5Tget_class(type) == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_NONE) ||
                      H5Tequal(type, H5T_IEEE_F32LE) > 0;
  const bool plain = number && (H5Tget_order(type) == H5T_ORDER_LE || H5Tget_size(type) == 1) &&
                     H5Sget_simple_extent_ndims(space) == 1 &&
                     H5Pget_layout(creation) == H5D_CONTIGUOUS &&
                     H5Pget_external_count(creation) == 0;
  if (!plain)
    throw std::runtime_error(
        what + ": is not a contiguous list of little-endian numbers, unsigned or float32");
  Range range;
  hsize_t count = 0;
  check(H5Sget_simple_extent_dims(space, &count, nullptr), what);
  range.count = count;
  range.element_bytes = H5Tget_size(type);
  if (count == 0) return range;
  range.offset = H5Dget_offset(dataset);
  if (range.offset == HADDR_UNDEF || range.offset > file_bytes ||
      count > (file_bytes - range.offset) / range.element_bytes) {
    throw std::runtime_error(
        fmt::format("{}: {} elements at byte {} do not fit in a file of {} bytes", what, count,
                    range.offset, file_bytes));
  }
  return range;
}

}  // namespace lathe::hdf5
