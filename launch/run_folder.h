#pragma once

#include <string>

// The folder of one run, held by one process at a time.
namespace lathe {

// Thrown when the folder is held by another run or can not be written; exit code kOutputLocked.
class RunFolder {
 public:
  // Makes the folder, proves that it can be written, and takes its lock until destruction.
  explicit RunFolder(const std::string& path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;

  // Replaces a small text file of the folder, atomically.
  void write(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
  int lock_ = -1;
};

}  // namespace lathe
