#include <fmt/format.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "data/shards/file.h"
#include "data/shards/hdf5_write.h"
#include "data/shards/token_shard.h"

namespace lathe {
namespace {

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

  // Returns head_bytes.
  uint64_t write_hdf5() const {
    const hdf5::Quiet quiet;
    Handle file = hdf5::create_file(temporary, path);
    write_attributes(file);
    hdf5::Layout layout;
    {
      const Handle columns_group = hdf5::create_group(file, "columns"),
                   hashes_group = hdf5::create_group(file, "hashes");
      for (const Column& column : columns) {
        const Handle group = hdf5::create_group(columns_group, column.name),
                     hashes = hdf5::create_group(hashes_group, column.name);
        if (narrow)
          hdf5::write_hashed(group, hashes, "tokens", H5T_STD_U16LE, column.narrow, layout);
        if (!narrow)
          hdf5::write_hashed(group, hashes, "tokens", H5T_STD_U32LE, column.wide, layout);
        hdf5::write_hashed(group, hashes, "offsets", H5T_STD_U64LE, column.offsets, layout);
        if (!column.all_trained)
          hdf5::write_hashed(group, hashes, "mask", H5T_STD_U8LE, column.mask, layout);
      }
      if (!scalars.empty()) {
        const Handle group = hdf5::create_group(file, "scalars"),
                     hashes = hdf5::create_group(hashes_group, "scalars");
        for (const auto& [name, values] : scalars)
          hdf5::write_hashed(group, hashes, name.c_str(), H5T_IEEE_F32LE, values, layout);
      }
    }
    return hdf5::close_file(file, layout, temporary, path);
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
