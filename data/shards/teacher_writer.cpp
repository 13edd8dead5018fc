#include <c10/util/Half.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "data/shards/file.h"
#include "data/shards/hdf5_write.h"
#include "data/shards/teacher_shard.h"

namespace lathe {
namespace {

using hdf5::Handle;

// -65504 stands for what float16 can not hold.
uint16_t half_bits(float value) { return c10::Half(std::max(value, -65504.0f)).x; }

}  // namespace

struct TeacherWriter::Parts {
  std::string path, temporary;
  TeacherInfo info;
  int64_t first_document = 0;
  std::vector<uint64_t> offsets{0};
  std::vector<uint16_t> narrow, logp, tail;
  std::vector<uint32_t> wide;

  ~Parts() {
    std::error_code ignored;
    if (!temporary.empty()) std::filesystem::remove(temporary, ignored);
  }

  uint64_t write() const {
    const hdf5::Quiet quiet;
    Handle file = hdf5::create_file(temporary, path);
    hdf5::write_attribute(file, "format", "lathe.teacher");
    hdf5::write_attribute(file, "version", int64_t{1});
    hdf5::write_attribute(file, "teacher_hash", info.teacher_hash);
    hdf5::write_attribute(file, "tokenizer_hash", info.tokenizer_hash);
    hdf5::write_attribute(file, "template_hash", info.template_hash);
    hdf5::write_attribute(file, "dataset_hash", info.dataset_hash);
    hdf5::write_attribute(file, "vocab_size", info.vocab_size);
    hdf5::write_attribute(file, "k", info.k);
    hdf5::write_attribute(file, "first_document", first_document);
    hdf5::write_attribute(file, "documents", static_cast<int64_t>(offsets.size()) - 1);
    hdf5::Layout layout;
    {
      const Handle rows = hdf5::create_group(file, "rows"),
                   hashes = hdf5::create_group(file, "hashes");
      hdf5::write_hashed(rows, hashes, "offsets", H5T_STD_U64LE, offsets, layout);
      if (info.vocab_size <= 65536) {
        hdf5::write_hashed(rows, hashes, "ids", H5T_STD_U16LE, narrow, layout);
      } else {
        hdf5::write_hashed(rows, hashes, "ids", H5T_STD_U32LE, wide, layout);
      }
      // The bits of float16: HDF5 would convert element by element.
      hdf5::write_hashed(rows, hashes, "logp", H5T_STD_U16LE, logp, layout);
      hdf5::write_hashed(rows, hashes, "tail", H5T_STD_U16LE, tail, layout);
    }
    return hdf5::close_file(file, layout, temporary, path);
  }
};

TeacherWriter::TeacherWriter(std::string path, TeacherInfo info, int64_t first_document)
    : parts_(std::make_unique<Parts>()) {
  if (info.k < 1 || info.vocab_size < info.k || info.vocab_size > INT32_MAX) {
    throw std::invalid_argument(fmt::format(
        "teacher shard: k {} of a vocabulary of {} makes no sense", info.k, info.vocab_size));
  }
  parts_->temporary = temporary_name(path);
  parts_->path = std::move(path);
  parts_->info = std::move(info);
  parts_->first_document = first_document;
}

TeacherWriter::~TeacherWriter() = default;

void TeacherWriter::add(std::span<const int64_t> ids, std::span<const float> logp,
                        std::span<const float> tail) {
  Parts& p = *parts_;
  const auto k = static_cast<size_t>(p.info.k);
  if (ids.size() != tail.size() * k || logp.size() != ids.size()) {
    throw std::invalid_argument(
        fmt::format("teacher shard: {} ids and {} log-probabilities for {} rows of {}", ids.size(),
                    logp.size(), tail.size(), k));
  }
  for (const int64_t id : ids) {
    if (id < 0 || id >= p.info.vocab_size) {
      throw std::invalid_argument(fmt::format(
          "teacher shard: token id {} is outside the vocabulary [0, {})", id, p.info.vocab_size));
    }
  }
  for (const auto& values : {logp, tail}) {
    for (const float value : values) {
      // A sum that was rounded may end a hair above 0.
      if (!(value <= 1e-3f)) {
        throw std::invalid_argument(fmt::format("teacher shard: {} is no log-probability", value));
      }
    }
  }
  if (p.info.vocab_size <= 65536) {
    p.narrow.insert(p.narrow.end(), ids.begin(), ids.end());
  } else {
    p.wide.insert(p.wide.end(), ids.begin(), ids.end());
  }
  for (const float value : logp) p.logp.push_back(half_bits(value));
  for (const float value : tail) p.tail.push_back(half_bits(value));
  p.offsets.push_back(p.offsets.back() + tail.size());
}

TeacherEntry TeacherWriter::finish() {
  Parts& p = *parts_;
  TeacherEntry entry{.file = std::filesystem::path(p.path).filename(),
                     .first_document = p.first_document,
                     .documents = static_cast<int64_t>(p.offsets.size()) - 1,
                     .rows = static_cast<int64_t>(p.offsets.back())};
  entry.seal.head_bytes = p.write();
  {
    const ReadFile file(p.temporary);
    entry.seal.bytes = file.bytes();
    entry.seal.head_hash = file.hash(0, entry.seal.head_bytes);
    entry.hash = file.hash(0, file.bytes());
  }
  publish(p.temporary, p.path);
  p.temporary.clear();
  return entry;
}

}  // namespace lathe
