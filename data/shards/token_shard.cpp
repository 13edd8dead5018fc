#include "data/shards/token_shard.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <map>

#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "data/shards/hdf5.h"
#include "data/shards/verified_range.h"

namespace lathe {
namespace {

using hdf5::Handle;

struct Column {
  VerifiedRange tokens, mask;
  size_t token_bytes = 2;
  bool all_trained = true;
  std::vector<uint64_t> offsets;
};

// Copies n unsigned integers, aligned or not, to int64 and returns the greatest; plain loops that the
// compiler turns into vectors.
template <typename T>
T widen(const char* from, size_t n, int64_t* to) {
  const auto value = [&](size_t i) {
    T loaded;
    std::memcpy(&loaded, from + i * sizeof(T), sizeof(T));
    return loaded;
  };
  T greatest = 0;
  for (size_t i = 0; i < n; ++i) greatest = std::max(greatest, value(i));
  for (size_t i = 0; i < n; ++i) to[i] = value(i);
  return greatest;
}

std::vector<uint64_t> read_u64(const ReadFile& file, const hdf5::Range& range) {
  std::vector<uint64_t> values(range.count);
  file.read(values.data(), range.bytes(), range.offset);
  return values;
}

hdf5::Range expect_range(hid_t group, const std::string& name, uint64_t file_bytes,
                         size_t element_bytes, const std::string& what) {
  const Handle dataset = hdf5::open_dataset(group, name, what);
  const hdf5::Range range = hdf5::find_range(dataset, file_bytes, what);
  if (range.element_bytes != element_bytes) {
    throw std::runtime_error(fmt::format("{}: elements have {} bytes, expected {}", what,
                                         range.element_bytes, element_bytes));
  }
  return range;
}

VerifiedRange open_range(const ReadFile& file, hid_t group, hid_t hashes, const std::string& name,
                         size_t element_bytes, const std::string& column) {
  const std::string what = fmt::format("{}: columns/{}/{}", file.path(), column, name);
  const hdf5::Range data = expect_range(group, name, file.bytes(), element_bytes, what);
  const std::string hash_what = fmt::format("{}: hashes/{}/{}", file.path(), column, name);
  const hdf5::Range list = expect_range(hashes, name, file.bytes(), 8, hash_what);
  return VerifiedRange(&file, what, data.offset, data.bytes(), read_u64(file, list));
}

void check_count(const std::string& what, uint64_t found, uint64_t expected) {
  if (found == expected) return;
  throw std::runtime_error(
      fmt::format("{}: has {} bytes, the rest of the file says {}", what, found, expected));
}

std::vector<uint64_t> read_offsets(const VerifiedRange& range, int64_t documents) {
  const uint64_t count = static_cast<uint64_t>(documents) + 1;
  check_count(range.what(), range.bytes(), count * 8);
  std::vector<uint64_t> offsets(count);
  char* to = reinterpret_cast<char*>(offsets.data());
  range.read(0, range.bytes(), [&](const char* from, uint64_t size) {
    std::memcpy(to, from, size);
    to += size;
  });
  if (offsets.front() != 0 || !std::is_sorted(offsets.begin(), offsets.end())) {
    throw std::runtime_error(range.what() + ": offsets do not rise from 0");
  }
  return offsets;
}

Column open_column(const ReadFile& file, hid_t columns, hid_t hashes_root, const std::string& name,
                   const ShardInfo& info) {
  const Handle group = hdf5::open_group(columns, name, file.path());
  const Handle hashes = hdf5::open_group(hashes_root, name, file.path());
  Column column;
  column.token_bytes = info.vocab_size <= 65536 ? 2 : 4;
  column.offsets =
      read_offsets(open_range(file, group, hashes, "offsets", 8, name), info.documents);
  column.tokens = open_range(file, group, hashes, "tokens", column.token_bytes, name);
  const uint64_t tokens = column.tokens.bytes() / column.token_bytes;
  if (column.offsets.back() != tokens) {
    throw std::runtime_error(fmt::format("{}: has {} tokens, offsets say {}", column.tokens.what(),
                                         tokens, column.offsets.back()));
  }
  column.all_trained = !hdf5::exists(group, "mask");
  if (!column.all_trained) {
    column.mask = open_range(file, group, hashes, "mask", 1, name);
    check_count(column.mask.what(), column.mask.bytes(), (tokens + 7) / 8);
  }
  return column;
}

std::vector<float> read_scalar(const ReadFile& file, hid_t group, hid_t hashes,
                               const std::string& name, int64_t documents) {
  const std::string what = fmt::format("{}: scalars/{}", file.path(), name);
  const hdf5::Range data = expect_range(group, name, file.bytes(), 4, what);
  const hdf5::Range list = expect_range(hashes, name, file.bytes(), 8, what + " (hashes)");
  check_count(what, data.bytes(), static_cast<uint64_t>(documents) * 4);
  const VerifiedRange range(&file, what, data.offset, data.bytes(), read_u64(file, list));
  std::vector<float> values(static_cast<size_t>(documents));
  char* to = reinterpret_cast<char*>(values.data());
  range.read(0, range.bytes(), [&](const char* from, uint64_t size) {
    std::memcpy(to, from, size);
    to += size;
  });
  return values;
}

ShardInfo read_info(hid_t file, const std::string& path) {
  const std::string format = hdf5::read_string(file, "format", path);
  const int64_t version = hdf5::read_int(file, "version", path);
  if (format != "lathe.shard" || version != 1) {
    throw std::runtime_error(fmt::format("{}: is \"{}\" version {}, expected lathe.shard version 1",
                                         path, format, version));
  }
  ShardInfo info{.tokenizer_hash = hdf5::read_string(file, "tokenizer_hash", path),
                 .template_hash = hdf5::read_string(file, "template_hash", path),
                 .vocab_size = hdf5::read_int(file, "vocab_size", path),
                 .documents = hdf5::read_int(file, "documents", path)};
  constexpr int64_t kMost = int64_t{1} << 56;  // so that no size computed from it overflows
  if (info.vocab_size < 1 || info.documents < 0 || info.vocab_size > kMost ||
      info.documents > kMost) {
    throw std::runtime_error(fmt::format("{}: vocab_size {} or documents {} makes no sense", path,
                                         info.vocab_size, info.documents));
  }
  return info;
}

std::vector<std::string> column_names(hid_t columns, const std::string& path) {
  H5G_info_t info;
  hdf5::check(H5Gget_info(columns, &info), path);
  std::vector<std::string> names;
  for (hsize_t i = 0; i < std::min<hsize_t>(info.nlinks, 64); ++i) {
    char name[256] = {};
    hdf5::check(H5Lget_name_by_idx(columns, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name,
                                   H5P_DEFAULT),
                path);
    names.emplace_back(name);
  }
  return names;
}

void check_seal(const ReadFile& file, const ShardSeal& seal) {
  if (file.bytes() != seal.bytes) {
    throw std::runtime_error(
        fmt::format("{}: has {} bytes, the manifest says {}: the file was cut or exchanged",
                    file.path(), file.bytes(), seal.bytes));
  }
  if (seal.head_bytes > seal.bytes || file.hash(0, seal.head_bytes) != seal.head_hash) {
    throw std::runtime_error(
        fmt::format("{}: the head (file bytes 0 to {}) is not what the manifest says: the file is "
                    "damaged or exchanged",
                    file.path(), seal.head_bytes));
  }
}

}  // namespace

struct TokenShard::Parts {
  explicit Parts(const std::string& path) : file(path) {}

  ReadFile file;
  ShardInfo info;
  std::map<std::string, Column> columns;
  std::map<std::string, std::vector<float>> scalars;

  const Column& column(const std::string& name) const {
    const auto found = columns.find(name);
    if (found != columns.end()) return found->second;
    std::string names;
    for (const auto& [known, unused] : columns) names += (names.empty() ? "" : ", ") + known;
    throw std::invalid_argument(
        fmt::format("{}: has no column {}, it has {}", file.path(), name, names));
  }

  void read_tokens(const Column& column, uint64_t begin, uint64_t end, int64_t* out) const {
    uint64_t greatest = 0;
    column.tokens.read(
        begin * column.token_bytes, end * column.token_bytes, [&](const char* from, uint64_t size) {
          const size_t n = size / column.token_bytes;
          const uint64_t most = column.token_bytes == 2 ? widen<uint16_t>(from, n, out)
                                                        : widen<uint32_t>(from, n, out);
          greatest = std::max(greatest, most);
          out += n;
        });
    if (greatest >= static_cast<uint64_t>(info.vocab_size)) {
      throw std::runtime_error(fmt::format("{}: holds the id {}, outside the vocabulary [0, {})",
                                           column.tokens.what(), greatest, info.vocab_size));
    }
  }

  static void read_mask(const Column& column, uint64_t begin, uint64_t end, uint8_t* mask) {
    if (column.all_trained) {
      std::fill_n(mask, end - begin, uint8_t{1});
      return;
    }
    uint64_t token = begin / 8 * 8;
    column.mask.read(begin / 8, (end + 7) / 8, [&](const char* from, uint64_t size) {
      for (uint64_t i = 0; i < size * 8; ++i, ++token) {
        if (token >= begin && token < end) mask[token - begin] = from[i / 8] >> (i % 8) & 1;
      }
    });
  }
};

TokenShard::TokenShard(const std::string& path, const std::optional<ShardSeal>& seal)
    : parts_(std::make_unique<Parts>(path)) {
  if (seal) check_seal(parts_->file, *seal);
  const hdf5::Quiet quiet;
  const Handle file = hdf5::open_file(path);
  parts_->info = read_info(file, path);
  const Handle columns = hdf5::open_group(file, "columns", path),
               hashes = hdf5::open_group(file, "hashes", path);
  for (const std::string& name : column_names(columns, path)) {
    parts_->columns.emplace(name, open_column(parts_->file, columns, hashes, name, parts_->info));
  }
  if (!hdf5::exists(file, "scalars")) return;
  const Handle scalars = hdf5::open_group(file, "scalars", path),
               scalar_hashes = hdf5::open_group(hashes, "scalars", path);
  for (const std::string& name : column_names(scalars, path)) {
    parts_->scalars.emplace(
        name, read_scalar(parts_->file, scalars, scalar_hashes, name, parts_->info.documents));
  }
}

TokenShard::~TokenShard() = default;

const ShardInfo& TokenShard::info() const { return parts_->info; }
int64_t TokenShard::documents() const { return parts_->info.documents; }

std::vector<std::string> TokenShard::columns() const {
  std::vector<std::string> names;
  for (const auto& [name, unused] : parts_->columns) names.push_back(name);
  return names;
}

std::vector<std::string> TokenShard::scalars() const {
  std::vector<std::string> names;
  for (const auto& [name, unused] : parts_->scalars) names.push_back(name);
  return names;
}

std::span<const float> TokenShard::scalar(const std::string& name) const {
  const auto found = parts_->scalars.find(name);
  if (found != parts_->scalars.end()) return found->second;
  throw std::invalid_argument(fmt::format("{}: has no scalar {}", parts_->file.path(), name));
}

std::span<const uint64_t> TokenShard::offsets(const std::string& column) const {
  return parts_->column(column).offsets;
}

bool TokenShard::all_trained(const std::string& column) const {
  return parts_->column(column).all_trained;
}

void TokenShard::read(const std::string& column, int64_t begin, int64_t end, int64_t* out,
                      uint8_t* mask) const {
  const Column& from = parts_->column(column);
  const int64_t tokens = static_cast<int64_t>(from.offsets.back());
  if (begin < 0 || end < begin || end > tokens) {
    throw std::invalid_argument(fmt::format("{}: tokens [{}, {}) were asked for, it has {}",
                                            from.tokens.what(), begin, end, tokens));
  }
  const auto first = static_cast<uint64_t>(begin), last = static_cast<uint64_t>(end);
  if (out) parts_->read_tokens(from, first, last, out);
  if (mask) Parts::read_mask(from, first, last, mask);
}

int64_t TokenShard::count_targets(const std::string& column) const {
  const Column& from = parts_->column(column);
  const auto tokens = static_cast<int64_t>(from.offsets.back());
  std::vector<uint8_t> bits;
  from.mask.read(0, from.mask.bytes(), [&](const char* bytes, uint64_t size) {
    bits.insert(bits.end(), bytes, bytes + size);
  });
  int64_t targets = from.all_trained ? tokens : 0;
  for (const uint8_t byte : bits) targets += std::popcount(byte);
  for (size_t d = 0; d + 1 < from.offsets.size(); ++d) {
    const uint64_t first = from.offsets[d];
    if (first < from.offsets[d + 1])
      targets -= from.all_trained ? 1 : bits[first / 8] >> (first % 8) & 1;
  }
  return targets;
}

void TokenShard::verify() const {
  const auto nothing = [](const char*, uint64_t) {};
  for (const auto& [name, column] : parts_->columns) {
    column.tokens.read(0, column.tokens.bytes(), nothing);
    if (!column.all_trained) column.mask.read(0, column.mask.bytes(), nothing);
  }
}

}  // namespace lathe
