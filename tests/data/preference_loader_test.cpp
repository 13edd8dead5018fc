#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/loader/loader.h"
#include "tests/data/folder.h"

// Rows of pairs and of single answers.
namespace lathe {
namespace {

using Datasets = std::vector<std::shared_ptr<const Dataset>>;

// Item d: the prompt d, d; chosen answer 100 + d, rejected 200 + d twice; the label of single
// answers is whether d is even.
Datasets make_dataset(const std::string& folder, bool pairs) {
  std::filesystem::create_directory(folder);
  DatasetManifest manifest{1, "h", "", "", 60000, {}, ""};
  int32_t d = 0;
  for (int s = 0; s < 2; ++s) {
    const std::string file = "s" + std::to_string(s) + ".h5";
    using Names = std::vector<std::string>;
    ShardWriter writer(folder + "/" + file, {"h", "", 60000},
                       pairs ? Names{"chosen", "rejected"} : Names{"answer"},
                       pairs ? Names{} : Names{"label"});
    for (; d < (s + 1) * 5; ++d) {
      const std::vector<int32_t> chosen{d, d, 100 + d}, rejected{d, d, 200 + d, 200 + d};
      const std::vector<uint8_t> mask{0, 0, 1}, longer{0, 0, 1, 1};
      const std::span<const int32_t> ids[] = {chosen, rejected};
      const std::span<const uint8_t> masks[] = {mask, longer};
      const float label[] = {d % 2 == 0 ? 1.0F : 0.0F};
      const size_t columns = pairs ? 2 : 1;
      writer.add(std::span(ids).first(columns), std::span(masks).first(columns),
                 std::span(label).first(pairs ? 0 : 1));
    }
    manifest.shards.push_back(shard_entry(file, writer.finish()));
  }
  write_manifest(folder, manifest);
  return {std::make_shared<const Dataset>(folder)};
}

LoaderOptions options_of(bool pairs, int64_t rows, int64_t micro_batches, int rank, int size) {
  LoaderOptions options;
  options.max_length = 3;  // shorter than a pair, which is never split
  options.seed = 5;
  options.rows_per_micro_batch = rows;
  options.micro_batches = micro_batches;
  options.rank = rank;
  options.size = size;
  options.prefetch = 0;
  if (pairs) options.columns = {"chosen", "rejected"};
  if (pairs) return options;
  options.columns = {"answer"};
  options.label = "label";
  options.mismatched = true;
  return options;
}

std::vector<int64_t> values(const at::Tensor& tensor) {
  const int64_t* begin = tensor.const_data_ptr<int64_t>();
  return {begin, begin + tensor.numel()};
}

// The items that all ranks take in two epochs of three steps, and what stands in their documents.
std::vector<int64_t> items_of(const Datasets& data, int64_t rows, int64_t micro_batches, int size) {
  std::vector<std::unique_ptr<Loader>> ranks;
  for (int rank = 0; rank < size; ++rank)
    ranks.push_back(std::make_unique<Loader>(data, std::vector<double>{},
                                             options_of(true, rows, micro_batches, rank, size)));
  std::vector<int64_t> items;
  for (int64_t step = 0; step < 6; ++step) {
    for (const auto& loader : ranks) {
      for (const Batch& batch : loader->next()) {
        EXPECT_EQ(batch.num_targets, std::ssize(batch.preferences.items));
        EXPECT_EQ(std::ssize(batch.cu_seqlens), 2 * batch.num_targets + 1);
        for (size_t p = 0; p < batch.preferences.items.size(); ++p) {
          const int64_t d = batch.preferences.items[p], begin = batch.cu_seqlens[2 * p];
          EXPECT_EQ(batch.cu_seqlens[2 * p + 2], begin + 6);
          EXPECT_EQ(batch.shared[2 * p], 0);
          EXPECT_EQ(batch.shared[2 * p + 1], 1);  // the second token is what the answer follows
          EXPECT_EQ(values(batch.tokens.slice(0, begin, begin + 6)),
                    (std::vector<int64_t>{d, d, 100 + d, d, 200 + d, 200 + d}));
          EXPECT_EQ(values(batch.positions.slice(0, begin, begin + 6)),
                    (std::vector<int64_t>{0, 1, 2, 1, 2, 3}));
          EXPECT_EQ(values(batch.targets.slice(0, begin, begin + 6)),
                    (std::vector<int64_t>{kIgnore, 100 + d, kIgnore, 200 + d, 200 + d, kIgnore}));
          items.push_back(d);
        }
      }
    }
  }
  return items;
}

TEST(PreferenceLoader, PairsStayTogetherInAnOrderThatNoLayoutChanges) {
  const TestFolder folder;
  const Datasets data = make_dataset(folder / "d", true);
  const std::vector<int64_t> whole = items_of(data, 4, 1, 1);
  EXPECT_EQ(whole.size(), 20U);
  EXPECT_EQ(std::set<int64_t>(whole.begin(), whole.begin() + 10).size(), 10U);
  EXPECT_NE(std::vector(whole.begin(), whole.begin() + 10),
            std::vector(whole.begin() + 10, whole.end()));
  EXPECT_EQ(items_of(data, 1, 4, 1), whole);
  EXPECT_EQ(items_of(data, 2, 1, 2), whole);
  EXPECT_EQ(items_of(data, 1, 1, 4), whole);
}

TEST(PreferenceLoader, MismatchedAnswersAreThoseBeforeInTheStepOfAllRanks) {
  const TestFolder folder;
  const Datasets data = make_dataset(folder / "d", false);
  std::vector<int64_t> items;
  std::vector<std::pair<int64_t, int64_t>> pairs;  // prompt, answer
  for (int rank = 0; rank < 2; ++rank) {
    Loader loader(data, {}, options_of(false, 2, 1, rank, 2));
    const Batch batch = loader.next().at(0);
    const Batch& mismatched = batch.mismatched.at(0);
    for (size_t p = 0; p < 2; ++p) {
      const int64_t d = batch.preferences.items[p];
      items.push_back(d);
      EXPECT_EQ(batch.preferences.labels[p], d % 2 == 0 ? 1 : 0);
      const auto ids = values(
          mismatched.tokens.slice(0, mismatched.cu_seqlens[p], mismatched.cu_seqlens[p + 1]));
      ASSERT_EQ(ids.size(), 3U);
      pairs.emplace_back(ids[0], ids[2] - 100);
    }
    EXPECT_EQ(mismatched.num_targets, 2);
  }
  for (size_t p = 0; p < 4; ++p) EXPECT_EQ(pairs[p], std::pair(items[p], items[(p + 3) % 4])) << p;
}

TEST(PreferenceLoader, AScalarOfAnotherNameIsNamed) {
  const TestFolder folder;
  const Datasets data = make_dataset(folder / "d", false);
  EXPECT_THAT(message_of([&] { (void)data[0]->shards()[0]->scalar("weight"); }),
              testing::HasSubstr("has no scalar weight"));
  EXPECT_EQ(data[0]->shards()[1]->scalar("label")[0], 0);
  EXPECT_THAT(message_of([&] { Loader(data, {}, LoaderOptions{}); }),
              testing::HasSubstr("has no column sequence, it has answer"));
}

}  // namespace
}  // namespace lathe
