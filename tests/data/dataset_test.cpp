#include "data/shards/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/shards/document.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;

// Two shards, of three documents and of two; document d is d + 1 times the token d.
DatasetManifest make_dataset(const std::string& folder, const std::string& hash = "aaaa") {
  DatasetManifest manifest{1, hash, "tttt", "o", 100, {}, "{\"kept\":5}"};
  int32_t document = 0;
  for (const int count : {3, 2}) {
    const std::string file = "shard-" + std::to_string(manifest.shards.size()) + ".h5";
    ShardWriter writer(folder + "/" + file,
                       {.tokenizer_hash = hash, .template_hash = "tttt", .vocab_size = 100});
    for (int i = 0; i < count; ++i, ++document)
      writer.add(std::vector<int32_t>(document + 1, document), {});
    manifest.shards.push_back(shard_entry(file, writer.finish()));
  }
  write_manifest(folder, manifest);
  return manifest;
}

TEST(Dataset, PlacesDocumentsOverShards) {
  const TestFolder folder;
  make_dataset(folder.path());
  const Dataset dataset(folder.path(), "aaaa");
  ASSERT_EQ(dataset.documents(), 5);
  for (int64_t d = 0; d < 5; ++d) {
    EXPECT_EQ(dataset.length(d), d + 1);
    const Dataset::Place place = dataset.place(d);
    int64_t token = -1;
    const auto begin = static_cast<int64_t>(place.shard->offsets()[place.document]);
    place.shard->read("sequence", begin, begin + 1, &token, nullptr);
    EXPECT_EQ(token, d);
    const Document document = read_document(dataset, d);
    EXPECT_EQ(document.ids, std::vector<int64_t>(static_cast<size_t>(d) + 1, d));
    EXPECT_EQ(document.mask, std::vector<uint8_t>(static_cast<size_t>(d) + 1, 1));
  }
  EXPECT_THROW(dataset.place(5), std::invalid_argument);
  EXPECT_THROW(dataset.place(-1), std::invalid_argument);
}

TEST(Dataset, ManifestReadsBackAsWritten) {
  const TestFolder folder;
  const DatasetManifest manifest = make_dataset(folder.path());
  EXPECT_EQ(manifest_text(read_manifest(folder.path())), manifest_text(manifest));
  EXPECT_EQ(read_manifest(folder.path()).shards[1].hash, manifest.shards[1].hash);
}

TEST(Dataset, RefusesAForeignTokenizer) {
  const TestFolder folder;
  make_dataset(folder.path());
  EXPECT_THROW(Dataset(folder.path(), "bbbb"), std::invalid_argument);
  const std::string message = message_of([&] { Dataset dataset(folder.path(), "bbbb"); });
  EXPECT_THAT(message, HasSubstr("made with the tokenizer aaaa, the model's is bbbb"));
}

TEST(Dataset, RefusesAShardOfAnotherDataSet) {
  const TestFolder folder, other;
  make_dataset(folder.path());
  make_dataset(other.path(), "bbbb");
  std::filesystem::copy_file(other / "shard-1.h5", folder / "shard-1.h5",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(message_of([&] { Dataset dataset(folder.path()); }), HasSubstr("shard-1.h5"));
}

TEST(Dataset, RefusesMissingCutAndDamagedShards) {
  const TestFolder folder;
  make_dataset(folder.path());
  const std::string path = folder / "shard-0.h5", good = read_file(path);
  write_text(path, good.substr(0, good.size() - 1));
  EXPECT_THAT(message_of([&] { Dataset dataset(folder.path()); }), HasSubstr("shard-0.h5: has"));
  std::string bad = good;
  bad[100] ^= 1;
  write_text(path, bad);
  EXPECT_THAT(message_of([&] { Dataset dataset(folder.path()); }),
              HasSubstr("shard-0.h5: the head"));
  std::filesystem::remove(path);
  EXPECT_THAT(message_of([&] { Dataset dataset(folder.path()); }),
              HasSubstr("shard-0.h5: can not open"));
}

TEST(Dataset, AFolderWithoutManifestIsNotADataSet) {
  const TestFolder folder;
  EXPECT_THROW(Dataset(folder.path()), std::invalid_argument);
}

TEST(Dataset, AFlippedManifestByteIsRefusedOrChangesNoToken) {
  const TestFolder folder;
  make_dataset(folder.path());
  const std::string path = folder / "dataset.json", good = read_file(path);
  int refused = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    write_byte(path, i, static_cast<char>(good[i] ^ (1 << i % 7)));
    const std::string message = message_of([&] {
      const Dataset dataset(folder.path());
      ASSERT_EQ(dataset.documents(), 5);
      ASSERT_EQ(dataset.length(4), 5);
    });
    write_byte(path, i, good[i]);
    if (message.empty()) continue;
    ++refused;
    EXPECT_THAT(message, HasSubstr(folder.path())) << i;
  }
  EXPECT_GT(refused, static_cast<int>(good.size()) / 2);
}

TEST(Dataset, ManifestNamesCanNotLeaveTheFolder) {
  const TestFolder folder;
  DatasetManifest manifest = make_dataset(folder.path());
  for (const char* name : {"../shard-0.h5", "/etc/passwd", "", ".."}) {
    manifest.shards[0].file = name;
    std::filesystem::remove(folder / "dataset.json");
    write_manifest(folder.path(), manifest);
    EXPECT_THAT(message_of([&] { Dataset dataset(folder.path()); }),
                HasSubstr("no plain file name"))
        << name;
  }
}

}  // namespace
}  // namespace lathe
