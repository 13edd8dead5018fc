// The rooms of the house and what each may include (README, "The house"), checked by reading every #include.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace lathe {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = LATHE_SOURCE_DIR;

const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"data", {"data"}},
    {"parallel", {"parallel"}},
    {"trainer", {"trainer", "data", "parallel"}},
    {"recipes", {"recipes", "trainer", "data", "parallel"}},
    {"launch", {"launch", "recipes", "trainer", "data", "parallel"}},
};

struct Include {
  std::string file, header;
};

std::vector<Include> includes_of_house() {
  static const std::regex pattern("^\\s*#\\s*include\\s*[<\"]([^>\"]+)[>\"]");
  std::vector<Include> includes;
  for (const auto& [room, unused] : kMayInclude) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / room)) {
      const std::string extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp" && extension != ".cu") continue;
      std::ifstream in(entry.path());
      std::smatch match;
      for (std::string line; std::getline(in, line);) {
        if (std::regex_search(line, match, pattern)) {
          includes.push_back({fs::relative(entry.path(), kRoot).string(), match[1]});
        }
      }
    }
  }
  return includes;
}

bool one_of(const std::string& file, const std::vector<std::string>& places) {
  for (const std::string& place : places) {
    if (file.starts_with(place)) return true;
  }
  return false;
}

TEST(Layering, RoomsIncludeOnlyWhatLiesBelowThem) {
  const std::vector<Include> includes = includes_of_house();
  ASSERT_GT(includes.size(), 100u);
  for (const Include& include : includes) {
    const std::string room = include.file.substr(0, include.file.find('/'));
    const std::string other = include.header.substr(0, include.header.find('/'));
    if (kMayInclude.contains(other) && include.header.find('/') != std::string::npos) {
      EXPECT_TRUE(kMayInclude.at(room).contains(other)) << include.file << " includes " << include.header;
    }
  }
}

TEST(Layering, ForeignLibrariesStayInTheirRooms) {
  const std::vector<std::pair<std::regex, std::vector<std::string>>> rules = {
      {std::regex("^hdf5\\.h$|^H5.*"), {"data/shards/", "trainer/checkpoint"}},
      {std::regex("^yaml-cpp/"), {"trainer/config"}},
      {std::regex("^mpi\\.h$"), {"parallel/mpi_group.cpp"}},
      {std::regex("^nccl\\.h$"), {"parallel/nccl_group.cpp"}},
      {std::regex("^cuda"), {"parallel/nccl_group.cpp", "trainer/kernels/"}},
      {std::regex("^CLI/"), {"launch/arguments.cpp"}},
      {std::regex("^(arrow|parquet)/"), {"data/corpus/parquet.cpp"}},
      {std::regex("^divsufsort"), {"data/curate/equal_windows.cpp"}},
      {std::regex("^fasttext"), {"data/curate/fasttext.cpp"}},
      {std::regex("immintrin\\.h$|^cpuid\\.h$"), {"trainer/kernels/", "data/tokenize/", "data/curate/text_bits_"}},
      {std::regex("CPUBlas|^mkl|^dnnl"), {"trainer/kernels/"}},
      {std::regex("^torch/torch\\.h$"), {}},
  };
  for (const Include& include : includes_of_house()) {
    for (const auto& [pattern, places] : rules) {
      if (std::regex_search(include.header, pattern)) {
        EXPECT_TRUE(one_of(include.file, places)) << include.file << " includes " << include.header;
      }
    }
  }
}

// Leaves are silent: they take plain structs, return values and throw.
TEST(Layering, OnlyLaunchReadsTheEnvironmentExitsOrCatchesSignals) {
  const std::regex forbidden("\\bgetenv\\s*\\(|\\b_?exit\\s*\\(|std::abort|\\bsigaction\\s*\\(|\\bMPI_Init");
  int files = 0;
  for (const std::string room : {"data", "parallel", "trainer", "recipes"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / room)) {
      if (entry.path().extension() != ".cpp") continue;
      const std::string file = fs::relative(entry.path(), kRoot).string();
      if (file == "parallel/mpi_group.cpp") continue;  // mpi_start and mpi_abort, called by launch/
      if (file == "recipes/confined_command.cpp") continue;  // a child that ends before it became a shell
      ++files;
      std::ifstream in(entry.path());
      int number = 0;
      for (std::string line; std::getline(in, line);) {
        ++number;
        const std::string code = line.substr(0, line.find("//"));
        EXPECT_FALSE(std::regex_search(code, forbidden)) << file << ":" << number << ": " << line;
      }
    }
  }
  ASSERT_GT(files, 20);
}

}  // namespace
}  // namespace lathe
