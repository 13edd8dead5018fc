#include "recipes/parts.h"

#include <gtest/gtest.h>

#include "recipes/timetable.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

TEST(OpenDatasets, ASignalEndsThePreparationOnEveryRankAndTheNextCallDoesIt) {
  const TempFolder folder;
  write_timetable(folder.path(), 1, 64, 8);
  RunConfig config;
  config.model.model_name_or_path = folder / "model";
  config.data.cache_dir = folder / "cache";
  const std::vector<DataSource> sources = {{.path = folder / "train.jsonl"}};
  on_ranks(2, [&](Mesh& mesh) {
    const Tokenizer tokenizer(config.model.model_name_or_path);
    Metrics metrics("", /*console=*/false);
    std::atomic<bool> stop = mesh.world().rank() == 0;
    const auto open = [&] { return open_datasets(config, sources, tokenizer, "", mesh, metrics, &stop); };
    EXPECT_THROW(open(), Stopped);
    stop = false;
    EXPECT_EQ(open().at(0)->documents(), 64);
  });
}

}  // namespace
}  // namespace lathe
