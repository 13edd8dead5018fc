#include <fmt/format.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "data/shards/hdf5.h"
#include "data/shards/token_shard.h"
#include "data/shards/verified_range.h"

namespace lathe {
namespace {

using hdf5::check;
using hdf5::Handle;

struct Column {
  std::string name;
  std::vector<uint16_t> narrow;  // tokens when the vocabulary fits in 16 bits
  std::vector<uint32_t> wide;    // else
  std::vector<uint64_t> offsets{0};
  std::vector<uint8_t> mask;  // bits
  bool all_trained = true;

  uint64_t tokens() const { return offsets.back(); }
};

void append_mask(Column& column, std::span<const uint8_t> mask, size_t count) {
  const uint64_t begin = column.tokens();
  column.mask.resize((begin + count + 7) / 8, 0);
  for (size_t i = 0; i < count; ++i) {
    const bool trained = mask.empty() || mask[i] != 0;
    column.all_trained &= trained;
    column.mask[(begin + i) / 8] |= static_cast<uint8_t>(trained << ((begin + i) % 8));
  }
}

void check_ids(std::span<const int32_t> ids, int64_t vocab_size) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      throw std::invalid_argument(
          fmt::format("shard: token id {} is outside the vocabulary [0, {})", id, vocab_size));
    }
  }
}

int64_t count_targets(std::span<const uint8_t> mask, size_t length) {
  if (length == 0) return 0;
  if (mask.empty()) return static_cast<int64_t>(length) - 1;
  return std::count_if(mask.begin() + 1, mask.end(), [](uint8_t trained) { return trained != 0; });
}

std::vector<uint64_t> block_hashes(std::string_view bytes) {
  std::vector<uint64_t> hashes;
  for (size_t at = 0; at < bytes.size(); at += kBlockBytes)
    hashes.push_back(hash_bytes(bytes.substr(at, kBlockBytes)));
  return hashes;
}

template <typename T>
std::string_view bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// No time stamps: the same tokens give the same bytes.
Handle untimed(hid_t kind) {
  Handle properties(H5Pcreate(kind), H5Pclose, "creation properties");
  check(H5Pset_obj_track_times(properties, false), "creation properties");
  return properties;
}

Handle create_group(hid_t at, const std::string& name) {
  const Handle properties = untimed(H5P_GROUP_CREATE);
  return Handle(H5Gcreate2(at, name.c_str(), H5P_DEFAULT, properties, H5P_DEFAULT), H5Gclose, name);
}

// Returns where the data lies, or the end of the address space when there is none.
template <typename T>
uint64_t write_list(hid_t at, const std::string& name, hid_t type, const std::vector<T>& values) {
  const Handle properties = untimed(H5P_DATASET_CREATE);
  check(H5Pset_layout(properties, H5D_CONTIGUOUS), name);
  check(H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY), name);
  check(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER), name);
  const hsize_t count = values.size();
  const Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose, name);
  const Handle dataset(
      H5Dcreate2(at, name.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose,
      name);
  if (count == 0) return std::numeric_limits<uint64_t>::max();
  check(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), name);
  return H5Dget_offset(dataset);
}

}  // namespace

struct ShardWriter::Parts {
  std::string path, temporary;
  ShardInfo info;
  std::vector<Column> columns;
  std::vector<std::pair<std::string, std::vector<float>>> scalars;
  int64_t documents = 0, targets = 0;
  bool narrow = false;

  ~Parts() {
    std::error_code ignored;
    if (!temporary.empty()) std::filesystem::remove(temporary, ignored);
  }

  void append(Column& column, std::span<const int32_t> ids, std::span<const uint8_t> mask) {
    if (narrow) {
      column.narrow.insert(column.narrow.end(), ids.begin(), ids.end());
    } else {
      column.wide.insert(column.wide.end(), ids.begin(), ids.end());
    }
    append_mask(column, mask, ids.size());
    column.offsets.push_back(column.tokens() + ids.size());
    targets += count_targets(mask, ids.size());
  }

  // One data set and the hashes of its blocks. head: the lowest address of data so far; data: bytes
  // of data so far.
  template <typename T>
  void write_hashed(hid_t column, hid_t hashes, const char* name, hid_t type,
                    const std::vector<T>& values, uint64_t& head, uint64_t& data) const {
    const auto list = block_hashes(bytes_of(values));
    head = std::min(head, write_list(column, name, type, values));
    head = std::min(head, write_list(hashes, name, H5T_STD_U64LE, list));
    data += bytes_of(values).size() + bytes_of(list).size();
  }

  // Returns head_bytes.
  uint64_t write_hdf5() const {
    const hdf5::Quiet quiet;
    const Handle access = hdf5::access_properties();
    const Handle creation = untimed(H5P_FILE_CREATE);
    Handle file(H5Fcreate(temporary.c_str(), H5F_ACC_EXCL, creation, access), H5Fclose,
                path + ": can not be created");
    write_attributes(file);
    uint64_t head = std::numeric_limits<uint64_t>::max(), data = 0;
    {
      const Handle columns_group = create_group(file, "columns"),
                   hashes_group = create_group(file, "hashes");
      for (const Column& column : columns) {
        const Handle group = create_group(columns_group, column.name),
                     hashes = create_group(hashes_group, column.name);
        if (narrow) write_hashed(group, hashes, "tokens", H5T_STD_U16LE, column.narrow, head, data);
        if (!narrow) write_hashed(group, hashes, "tokens", H5T_STD_U32LE, column.wide, head, data);
        write_hashed(group, hashes, "offsets", H5T_STD_U64LE, column.offsets, head, data);
        if (!column.all_trained)
          write_hashed(group, hashes, "mask", H5T_STD_U8LE, column.mask, head, data);
      }
      if (!scalars.empty()) {
        const Handle group = create_group(file, "scalars"),
                     hashes = create_group(hashes_group, "scalars");
        for (const auto& [name, values] : scalars)
          write_hashed(group, hashes, name.c_str(), H5T_IEEE_F32LE, values, head, data);
      }
    }
    check(file.reset(), path + ": can not be closed");
    if (std::filesystem::file_size(temporary) != head + data) {
      throw std::logic_error(path +
                             ": HDF5 put metadata behind the data; kMetadataBytes is too small");
    }
    return head;
  }

  void write_attributes(hid_t file) const {
    hdf5::write_attribute(file, "format", "lathe.shard");
    hdf5::write_attribute(file, "version", int64_t{1});
    hdf5::write_attribute(file, "tokenizer_hash", info.tokenizer_hash);
    hdf5::write_attribute(file, "template_hash", info.template_hash);
    hdf5::write_attribute(file, "vocab_size", info.vocab_size);
    hdf5::write_attribute(file, "documents", documents);
  }
};

ShardWriter::ShardWriter(std::string path, ShardInfo info, std::vector<std::string> columns,
                         std::vector<std::string> scalars)
    : parts_(std::make_unique<Parts>()) {
  if (info.vocab_size < 1 || info.vocab_size > std::numeric_limits<int32_t>::max()) {
    throw std::invalid_argument(
        fmt::format("shard: vocab_size is {}, expected 1 to 2^31 - 1", info.vocab_size));
  }
  parts_->temporary = temporary_name(path);
  parts_->path = std::move(path);
  parts_->narrow = info.vocab_size <= 65536;
  parts_->info = std::move(info);
  parts_->columns.resize(columns.size());
  for (size_t c = 0; c < columns.size(); ++c) parts_->columns[c].name = std::move(columns[c]);
  for (std::string& name : scalars)
    parts_->scalars.emplace_back(std::move(name), std::vector<float>());
}

ShardWriter::~ShardWriter() = default;

void ShardWriter::add(std::span<const std::span<const int32_t>> ids,
                      std::span<const std::span<const uint8_t>> masks,
                      std::span<const float> scalars) {
  if (scalars.size() != parts_->scalars.size()) {
    throw std::invalid_argument(fmt::format("shard: a document has {} scalars, expected {}",
                                            scalars.size(), parts_->scalars.size()));
  }
  if (ids.size() != parts_->columns.size() || masks.size() != ids.size()) {
    throw std::invalid_argument(
        fmt::format("shard: a document has {} columns and {} masks, expected {}", ids.size(),
                    masks.size(), parts_->columns.size()));
  }
  for (size_t c = 0; c < ids.size(); ++c) {
    if (!masks[c].empty() && masks[c].size() != ids[c].size()) {
      throw std::invalid_argument(fmt::format("shard: a mask has {} entries for {} tokens",
                                              masks[c].size(), ids[c].size()));
    }
    check_ids(ids[c], parts_->info.vocab_size);
  }
  for (size_t c = 0; c < ids.size(); ++c) parts_->append(parts_->columns[c], ids[c], masks[c]);
  for (size_t s = 0; s < scalars.size(); ++s) parts_->scalars[s].second.push_back(scalars[s]);
  ++parts_->documents;
}

void ShardWriter::add(std::span<const int32_t> ids, std::span<const uint8_t> mask) {
  add(std::span(&ids, 1), std::span(&mask, 1));
}

int64_t ShardWriter::documents() const { return parts_->documents; }

int64_t ShardWriter::tokens() const {
  int64_t sum = 0;
  for (const Column& column : parts_->columns) sum += static_cast<int64_t>(column.tokens());
  return sum;
}

ShardWriter::Finished ShardWriter::finish() {
  Finished finished;
  finished.seal.head_bytes = parts_->write_hdf5();
  {
    const ReadFile file(parts_->temporary);
    finished.seal.bytes = file.bytes();
    finished.seal.head_hash = file.hash(0, finished.seal.head_bytes);
    finished.hash = file.hash(0, file.bytes());
  }
  publish(parts_->temporary, parts_->path);
  parts_->temporary.clear();
  finished.documents = parts_->documents;
  finished.tokens = tokens();
  finished.targets = parts_->targets;
  return finished;
}

}  // namespace lathe
