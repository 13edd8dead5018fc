#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "data/corpus/corpus.h"

namespace lathe {
namespace {

bool has_kind(std::string_view path, std::string_view kind) {
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (path.ends_with(packed)) path.remove_suffix(packed.size());
  }
  return path.ends_with(kind);
}

std::vector<std::string> files_of_folder(const std::string& folder) {
  std::vector<std::string> files;
  for (const char* kind :
       {".jsonl", ".json", ".parquet", ".csv", ".tsv", ".txt", ".warc", ".wet"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.is_regular_file() && has_kind(entry.path().native(), kind) &&
          entry.path().filename() != "dataset_info.json")
        files.push_back(entry.path().string());
    }
    if (!files.empty()) break;
  }
  return files;
}

std::vector<std::string> files_of_glob(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> files;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::erase_if(files, [](const std::string& path) { return std::filesystem::is_directory(path); });
  return files;
}

}  // namespace

std::vector<std::string> expand_paths(const std::string& pattern) {
  std::vector<std::string> files;
  if (std::filesystem::is_directory(pattern)) {
    files = files_of_folder(pattern);
    if (files.empty())
      throw std::invalid_argument(
          pattern +
          ": the folder holds no *.jsonl, *.json, *.parquet, *.csv, *.tsv, *.txt, *.warc or *.wet "
          "file");
  } else if (std::filesystem::exists(pattern)) {
    files = {pattern};
  } else {
    files = files_of_glob(pattern);
    if (files.empty())
      throw std::invalid_argument(pattern +
                                  ": there is no such file, folder or match of the pattern");
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace lathe
