#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/shards/dataset.h"
#include "data/shards/teacher_shard.h"

// A folder of teacher shards for one data set, with teacher.json, the manifest that is written
// last.
namespace lathe {

struct TeacherManifest {
  TeacherInfo info;
  std::vector<TeacherEntry> shards;  // by first document, without a gap
  std::string report;                // JSON
};

std::string teacher_manifest_text(const TeacherManifest& manifest);
TeacherManifest parse_teacher_manifest(const std::string& text);
void write_teacher_manifest(const std::string& folder, const TeacherManifest& manifest);
// Throws std::invalid_argument when there is none, std::runtime_error when it is damaged.
TeacherManifest read_teacher_manifest(const std::string& folder);

// What the manifest of a data set is known by.
std::string dataset_hash(const Dataset& dataset);

class TeacherSet {
 public:
  // std::invalid_argument when the folder was made of another data set, tokenizer or template.
  TeacherSet(const std::string& folder, const Dataset& dataset);

  const TeacherInfo& info() const { return manifest_.info; }
  const std::string& report() const { return manifest_.report; }
  // Rows of document d that belong to its tokens first .. first + count - 1 as targets, where
  // `before` trained tokens come before them; appended to what the vectors hold.
  void read(int64_t document, int64_t before, int64_t count, std::vector<int64_t>& ids,
            std::vector<float>& logp, std::vector<float>& tail) const;

 private:
  std::string folder_;
  TeacherManifest manifest_;
  std::vector<std::unique_ptr<TeacherShard>> shards_;
};

}  // namespace lathe
