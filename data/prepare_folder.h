#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "data/corpus/corpus.h"
#include "data/prepare.h"
#include "data/shards/dataset.h"

// The folder that a data set is made in.
namespace lathe {

// How far prepare is: what every finished shard leaves behind.
struct PrepareJournal {
  size_t file = 0;        // of the list of files
  FilePosition position;  // in that file: what is before it is in the shards or was dropped
  Shape shape = Shape::kAuto;
  PrepareReport report;
  DatasetManifest manifest;  // of the shards so far
};

// <path>.partial until it is complete; then it appears under its name in one step. A journal there
// with the same key is taken up, anything else is removed. Where another process is at work in it,
// a folder of another name is used, and whoever ends first wins.
class WorkFolder {
 public:
  // Throws std::invalid_argument when path is there already.
  WorkFolder(std::string path, std::string key);
  ~WorkFolder();  // leaves a folder that has a journal
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const std::string& folder() const { return folder_; }
  const std::optional<PrepareJournal>& found() const { return found_; }
  void save(const PrepareJournal& journal);
  void discard();  // what was made is of no use to a later call
  void publish(const DatasetManifest& manifest);

 private:
  bool lock();
  void take_up();
  void remove_all_but(const DatasetManifest& manifest);

  std::string path_, key_, folder_;
  int lock_ = -1;
  bool keep_ = false;
  std::optional<PrepareJournal> found_;
};

}  // namespace lathe
