// A build without libarrow says how Parquet files are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/corpus/corpus.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;

TEST(NoParquet, TheMessageSaysHowToBuildItIn) {
  const TestFolder folder;
  for (const auto& [name, bytes] :
       {std::pair{"a.parquet", "PAR1...."}, {"a.bin", "PAR1...."}, {"b.parquet", ""}}) {
    write_text(folder / name, bytes);
    const std::string message = message_of([&] { CorpusFile file(folder / name); });
    EXPECT_THAT(message, testing::StartsWith(folder / name + ": is a Parquet file"));
    EXPECT_THAT(message, HasSubstr("LATHE_PARQUET=1 ./launch/bootstrap"));
    EXPECT_THAT(message, HasSubstr("write JSON lines"));
  }
}

}  // namespace
}  // namespace lathe
