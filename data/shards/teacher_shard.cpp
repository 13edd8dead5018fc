#include "data/shards/teacher_shard.h"

#include <c10/util/Half.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <stdexcept>

#include "data/shards/file.h"
#include "data/shards/hdf5.h"
#include "data/shards/verified_range.h"

namespace lathe {
namespace {

using hdf5::Handle;

constexpr int64_t kMostCount = int64_t{1} << 40;  // so that no size computed from it overflows

template <typename T>
std::vector<T> read_all(const VerifiedRange& range, uint64_t begin, uint64_t end) {
  std::vector<T> values(end - begin);
  char* to = reinterpret_cast<char*>(values.data());
  range.read(begin * sizeof(T), end * sizeof(T), [&](const char* from, uint64_t size) {
    std::memcpy(to, from, size);
    to += size;
  });
  return values;
}

float half(uint16_t bits) { return c10::Half(bits, c10::Half::from_bits()); }

void check_seal(const ReadFile& file, const ShardSeal& seal) {
  if (file.bytes() != seal.bytes || seal.head_bytes > seal.bytes ||
      file.hash(0, seal.head_bytes) != seal.head_hash) {
    throw std::runtime_error(file.path() +
                             ": size or head is not what teacher.json says: the file is damaged or "
                             "exchanged");
  }
}

}  // namespace

struct TeacherShard::Parts {
  explicit Parts(const std::string& path) : file(path) {}

  ReadFile file;
  TeacherInfo info;
  int64_t first_document = 0, documents = 0;
  std::vector<uint64_t> offsets;
  VerifiedRange ids, logp, tail;
  uint64_t id_bytes = 2;

  VerifiedRange open(hid_t rows, hid_t hashes, const char* name, size_t element_bytes) const {
    const std::string what = fmt::format("{}: rows/{}", file.path(), name);
    const auto find = [&](hid_t group, size_t bytes, const std::string& of) {
      const Handle dataset = hdf5::open_dataset(group, name, of);
      const hdf5::Range range = hdf5::find_range(dataset, file.bytes(), of);
      if (range.element_bytes == bytes) return range;
      throw std::runtime_error(
          fmt::format("{}: elements have {} bytes, expected {}", of, range.element_bytes, bytes));
    };
    const hdf5::Range data = find(rows, element_bytes, what);
    const hdf5::Range list = find(hashes, 8, what + " (hashes)");
    std::vector<uint64_t> values(list.count);
    file.read(values.data(), list.bytes(), list.offset);
    return VerifiedRange(&file, what, data.offset, data.bytes(), std::move(values));
  }

  void read_info(hid_t from) {
    const std::string& path = file.path();
    if (hdf5::read_string(from, "format", path) != "lathe.teacher" ||
        hdf5::read_int(from, "version", path) != 1) {
      throw std::runtime_error(path + ": is not lathe.teacher version 1");
    }
    info = {.teacher_hash = hdf5::read_string(from, "teacher_hash", path),
            .tokenizer_hash = hdf5::read_string(from, "tokenizer_hash", path),
            .template_hash = hdf5::read_string(from, "template_hash", path),
            .dataset_hash = hdf5::read_string(from, "dataset_hash", path),
            .vocab_size = hdf5::read_int(from, "vocab_size", path),
            .k = hdf5::read_int(from, "k", path)};
    first_document = hdf5::read_int(from, "first_document", path);
    documents = hdf5::read_int(from, "documents", path);
    if (info.k < 1 || info.k > info.vocab_size || info.vocab_size > INT32_MAX || documents < 0 ||
        documents > kMostCount || first_document < 0 || first_document > kMostCount) {
      throw std::runtime_error(
          fmt::format("{}: k {}, vocab_size {}, documents {} from {} make no sense", path, info.k,
                      info.vocab_size, documents, first_document));
    }
  }

  void check_sizes(const VerifiedRange& offset_range) {
    const auto differ = [&](const VerifiedRange& range, uint64_t expected) {
      if (range.bytes() == expected) return;
      throw std::runtime_error(fmt::format("{}: has {} bytes, the rest of the file says {}",
                                           range.what(), range.bytes(), expected));
    };
    differ(offset_range, (static_cast<uint64_t>(documents) + 1) * 8);
    offsets = read_all<uint64_t>(offset_range, 0, static_cast<uint64_t>(documents) + 1);
    const auto k = static_cast<uint64_t>(info.k);
    const uint64_t most = std::numeric_limits<uint64_t>::max() / (k * 8);
    if (offsets.front() != 0 || !std::is_sorted(offsets.begin(), offsets.end()) ||
        offsets.back() > most) {
      throw std::runtime_error(offset_range.what() + ": do not rise from 0");
    }
    differ(ids, offsets.back() * k * id_bytes);
    differ(logp, offsets.back() * k * 2);
    differ(tail, offsets.back() * 2);
  }
};

TeacherShard::TeacherShard(const std::string& path, const std::optional<ShardSeal>& seal)
    : parts_(std::make_unique<Parts>(path)) {
  if (seal) check_seal(parts_->file, *seal);
  const hdf5::Quiet quiet;
  const Handle file = hdf5::open_file(path);
  parts_->read_info(file);
  parts_->id_bytes = parts_->info.vocab_size <= 65536 ? 2 : 4;
  const Handle rows = hdf5::open_group(file, "rows", path),
               hashes = hdf5::open_group(file, "hashes", path);
  parts_->ids = parts_->open(rows, hashes, "ids", parts_->id_bytes);
  parts_->logp = parts_->open(rows, hashes, "logp", 2);
  parts_->tail = parts_->open(rows, hashes, "tail", 2);
  parts_->check_sizes(parts_->open(rows, hashes, "offsets", 8));
}

TeacherShard::~TeacherShard() = default;

const TeacherInfo& TeacherShard::info() const { return parts_->info; }
int64_t TeacherShard::first_document() const { return parts_->first_document; }
int64_t TeacherShard::documents() const { return parts_->documents; }
std::span<const uint64_t> TeacherShard::offsets() const { return parts_->offsets; }

void TeacherShard::read(int64_t begin, int64_t end, int64_t* ids, float* logp, float* tail) const {
  const Parts& p = *parts_;
  if (begin < 0 || end < begin || end > static_cast<int64_t>(p.offsets.back())) {
    throw std::invalid_argument(fmt::format("{}: rows [{}, {}) were asked for, it has {}",
                                            p.file.path(), begin, end, p.offsets.back()));
  }
  const auto first = static_cast<uint64_t>(begin), last = static_cast<uint64_t>(end),
             k = static_cast<uint64_t>(p.info.k);
  const auto widen = [&](const auto& values) { std::copy(values.begin(), values.end(), ids); };
  if (p.id_bytes == 2) {
    widen(read_all<uint16_t>(p.ids, first * k, last * k));
  } else {
    widen(read_all<uint32_t>(p.ids, first * k, last * k));
  }
  for (uint64_t i = 0; i < (last - first) * k; ++i) {
    if (ids[i] < p.info.vocab_size) continue;
    throw std::runtime_error(fmt::format("{}: holds the id {}, outside the vocabulary [0, {})",
                                         p.ids.what(), ids[i], p.info.vocab_size));
  }
  const auto logps = read_all<uint16_t>(p.logp, first * k, last * k),
             tails = read_all<uint16_t>(p.tail, first, last);
  std::transform(logps.begin(), logps.end(), logp, half);
  std::transform(tails.begin(), tails.end(), tail, half);
}

TeacherEntry entry_of(const std::string& path) {
  const TeacherShard shard(path);
  const ReadFile file(path);
  // All of it is vouched for: the head is not told apart.
  const uint64_t hash = file.hash(0, file.bytes());
  return {.file = std::filesystem::path(path).filename(),
          .seal = {.bytes = file.bytes(), .head_bytes = file.bytes(), .head_hash = hash},
          .hash = hash,
          .first_document = shard.first_document(),
          .documents = shard.documents(),
          .rows = static_cast<int64_t>(shard.offsets().back())};
}

}  // namespace lathe
