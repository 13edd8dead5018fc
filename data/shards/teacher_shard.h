#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/shards/token_shard.h"

// One immutable HDF5 file of a teacher's opinion of the trained tokens of a run of documents.
//
// Layout (format "lathe.teacher", version 1): rows/{offsets, ids, logp, tail}: offsets u64
// [documents+1], the first row of each document; a row for each trained token t+1 of a document, in
// order, made at token t: ids u16 when the vocabulary fits, else u32, [rows x k], likeliest first;
// logp float16 [rows x k], their log-probabilities at temperature 1, normalised over the full
// vocabulary; tail float16 [rows], the logarithm of the probability of all other ids. hashes xxh64
// per 1 MiB block of each, as in token_shard.h.
namespace lathe {

// What a shard was made of.
struct TeacherInfo {
  std::string teacher_hash, tokenizer_hash, template_hash;
  std::string dataset_hash;  // of the data set's manifest
  int64_t vocab_size = 0, k = 0;
  bool operator==(const TeacherInfo&) const = default;
};

struct TeacherEntry {
  std::string file;  // its name in the folder
  ShardSeal seal;
  uint64_t hash = 0;
  int64_t first_document = 0, documents = 0, rows = 0;
};

// Holds one shard in memory until finish(); one that is destroyed before leaves nothing.
class TeacherWriter {
 public:
  TeacherWriter(std::string path, TeacherInfo info, int64_t first_document);
  ~TeacherWriter();
  // One document: rows x k ids and log-probabilities, rows tails.
  void add(std::span<const int64_t> ids, std::span<const float> logp, std::span<const float> tail);
  TeacherEntry finish();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

class TeacherShard {
 public:
  // Checks format, version and shape; before that the seal, if there is one.
  explicit TeacherShard(const std::string& path,
                        const std::optional<ShardSeal>& seal = std::nullopt);
  ~TeacherShard();

  const TeacherInfo& info() const;
  int64_t first_document() const;
  int64_t documents() const;
  // First row of each document, [documents()+1].
  std::span<const uint64_t> offsets() const;
  // Rows [begin, end) of the file: ids and logp [rows x k], tail [rows]. Thread-safe.
  void read(int64_t begin, int64_t end, int64_t* ids, float* logp, float* tail) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// The entry of a file that an earlier run finished: its name, hashes and counts.
TeacherEntry entry_of(const std::string& path);

}  // namespace lathe
