#include "data/loader/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "data/loader/order.h"
#include "tests/data/folder.h"
#include "tests/data/loader_tools.h"

namespace lathe {
namespace {

using testing::HasSubstr;

TEST(Loader, GivesTheSameStreamForAnyRanksAndMicroBatches) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 200)};
  for (const Packing packing : {Packing::kBestFit, Packing::kWrapped, Packing::kOff}) {
    LoaderOptions one = options_of(24, 1, 0, 1);
    one.packing = packing;
    const int64_t steps = Loader(datasets, {}, one).steps_per_epoch();
    const std::vector<int64_t> expected = id_stream(datasets, one, 2 * steps);
    int compared = 0;
    for (const int size : {1, 2, 3, 4, 8}) {
      for (const int64_t micro_batches : {1, 3}) {
        if (24 % (size * micro_batches) != 0) continue;
        LoaderOptions many = options_of(24 / size / micro_batches, micro_batches, 0, size);
        many.packing = packing;
        EXPECT_EQ(id_stream(datasets, many, 2 * steps), expected) << size << " " << micro_batches;
        ++compared;
      }
    }
    EXPECT_EQ(compared, 9);
  }
}

TEST(Loader, GivesEveryTokenOnceAnEpoch) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 200)};
  for (const Packing packing : {Packing::kBestFit, Packing::kWrapped, Packing::kOff}) {
    for (const bool shuffle : {true, false}) {
      LoaderOptions options = options_of(5, 1, 0, 2);
      options.packing = packing;
      options.shuffle = shuffle;
      options.max_length = 30;  // some documents are split
      const Loader loader(datasets, {}, options);
      std::vector<int64_t> stream = id_stream(datasets, options, loader.steps_per_epoch());
      EXPECT_EQ(static_cast<int64_t>(stream.size()), loader.report().tokens);
      const bool in_order = std::is_sorted(stream.begin(), stream.end());
      EXPECT_EQ(in_order, !shuffle && packing != Packing::kBestFit);
      std::sort(stream.begin(), stream.end());
      for (size_t i = 0; i < stream.size(); ++i) ASSERT_EQ(stream[i], static_cast<int64_t>(i));
      EXPECT_EQ(static_cast<int64_t>(stream.size()), datasets[0]->manifest().shards[0].tokens +
                                                         datasets[0]->manifest().shards[1].tokens +
                                                         datasets[0]->manifest().shards[2].tokens);
    }
  }
}

TEST(Loader, EpochsDifferInOrderOnly) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 200)};
  Loader loader(datasets, {}, options_of(4, 1, 0, 1));
  std::vector<std::vector<int64_t>> epochs(3);
  for (int64_t e = 0; e < 3; ++e) {
    for (int64_t s = 0; s < loader.steps_per_epoch(); ++s) {
      EXPECT_EQ(loader.state().epoch, e);
      for (const int64_t id : values(loader.next()[0].tokens)) epochs[e].push_back(id);
    }
    EXPECT_EQ(loader.state(), (LoaderState{e + 1, 0}));
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  for (auto& epoch : epochs) std::sort(epoch.begin(), epoch.end());
  EXPECT_EQ(epochs[0], epochs[1]);
  EXPECT_EQ(epochs[1], epochs[2]);
}

TEST(Loader, ResumesAtTheExactToken) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 100)};
  const LoaderOptions options = options_of(2, 2, 0, 1);
  Loader whole(datasets, {}, options);
  const int64_t steps = whole.steps_per_epoch() * 2 + 1;
  std::vector<LoaderState> states{whole.state()};
  std::vector<std::vector<int64_t>> tokens;
  for (int64_t s = 0; s < steps; ++s) {
    tokens.emplace_back();
    for (const Batch& batch : whole.next()) {
      for (const int64_t id : values(batch.tokens)) tokens.back().push_back(id);
    }
    states.push_back(whole.state());
  }
  for (int64_t s = 0; s < steps; ++s)
    EXPECT_EQ(id_stream(datasets, options, 1, states[s]), tokens[s]) << s;
  // On two ranks, and with another batch size, the stream goes on from the same row.
  std::vector<int64_t> rest;
  for (int64_t s = 3; s < whole.steps_per_epoch(); ++s)
    rest.insert(rest.end(), tokens[s].begin(), tokens[s].end());
  std::vector<int64_t> other =
      id_stream(datasets, options_of(3, 1, 0, 2), whole.steps_per_epoch(), states[3]);
  ASSERT_GE(other.size(), rest.size());
  other.resize(rest.size());
  EXPECT_EQ(other, rest);
}

TEST(Loader, PrefetchChangesNothing) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 100)};
  Loader plain(datasets, {}, options_of(3, 2, 0, 1)),
      ahead(datasets, {}, options_of(3, 2, 0, 1, 2));
  for (int64_t s = 0; s < 3 * plain.steps_per_epoch(); ++s) {
    if (s == 7) {  // back in the middle of an epoch, while steps lie ready
      plain.seek({0, 6});
      ahead.seek({0, 6});
    }
    const auto a = plain.next(), b = ahead.next();
    EXPECT_EQ(plain.state(), ahead.state());
    for (size_t m = 0; m < 2; ++m) {
      ASSERT_EQ(values(a[m].tokens), values(b[m].tokens));
      ASSERT_EQ(values(a[m].targets), values(b[m].targets));
      ASSERT_EQ(a[m].cu_seqlens, b[m].cu_seqlens);
    }
  }
  EXPECT_EQ(plain.take_wait_seconds(), 0);
  EXPECT_GT(ahead.take_wait_seconds(), 0);
  EXPECT_EQ(ahead.take_wait_seconds(), 0);
}

TEST(Loader, TheLastStepOfAnEpochMayLeaveBatchesEmpty) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 10)};
  LoaderOptions options = options_of(1, 2, 1, 2);
  options.packing = Packing::kOff;
  Loader loader(datasets, {}, options);
  const int64_t rows = loader.rows_per_epoch();
  loader.seek({0, rows - 1});
  const std::vector<Batch> batches = loader.next();  // rank 0 has the only row
  ASSERT_EQ(batches.size(), 2U);
  for (const Batch& batch : batches) {
    EXPECT_EQ(batch.num_tokens(), 0);
    EXPECT_EQ(batch.cu_seqlens, (std::vector<int64_t>{0}));
  }
  EXPECT_EQ(loader.state(), (LoaderState{1, 0}));
}

TEST(Loader, ReportCountsWhatTheBatchesHold) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 100)};
  LoaderOptions options = options_of(4, 1, 0, 1);
  options.max_length = 25;
  Loader loader(datasets, {}, options);
  const PackingReport report = loader.report();
  int64_t targets = 0, tokens = 0;
  for (int64_t s = 0; s < loader.steps_per_epoch(); ++s) {
    const std::vector<Batch> batches = loader.next();
    targets += batches[0].num_targets;
    tokens += batches[0].num_tokens();
  }
  EXPECT_EQ(report.targets, targets);
  EXPECT_EQ(report.tokens, tokens);
  EXPECT_EQ(report.rows, loader.rows_per_epoch());
  EXPECT_DOUBLE_EQ(report.waste,
                   1 - static_cast<double>(tokens) / static_cast<double>(report.rows * 25));
}

TEST(Loader, WeightsRepeatAndSampleDocuments) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 90), make_dataset(folder / "b", 60, 20000)};
  LoaderOptions options = options_of(4, 1, 0, 1);
  options.packing = Packing::kOff;
  Loader loader(datasets, {0.5, 2.25}, options);
  std::map<int64_t, int> first_tokens;  // of documents
  for (int64_t s = 0; s < loader.steps_per_epoch(); ++s) {
    const std::vector<Batch> batches = loader.next();
    const auto tokens = values(batches[0].tokens);
    for (size_t d = 0; d + 1 < batches[0].cu_seqlens.size(); ++d)
      ++first_tokens[tokens[batches[0].cu_seqlens[d]]];
  }
  int once_a = 0, twice_b = 0, thrice_b = 0, empty = 0;
  for (const auto& [token, times] : first_tokens) {
    once_a += token < 20000 && times == 1;
    twice_b += token >= 20000 && times == 2;
    thrice_b += token >= 20000 && times == 3;
  }
  for (int64_t d = 0; d < 60; ++d) empty += datasets[1]->length(d) == 0;
  EXPECT_NEAR(once_a, 45, 3);  // less the empty documents of the sample
  EXPECT_EQ(twice_b + thrice_b, 60 - empty);
  EXPECT_NEAR(thrice_b, 15, 3);
  EXPECT_EQ(static_cast<int>(first_tokens.size()), once_a + twice_b + thrice_b);
}

TEST(Loader, HandsOverWhatThePrefetchThreadRanInto) {
  const TestFolder folder;
  make_dataset(folder / "a", 100);
  const std::string path = folder / "a/s1.h5";
  const uint64_t head = read_manifest(folder / "a").shards[1].seal.head_bytes;
  write_byte(path, head, static_cast<char>(read_file(path)[head] ^ 1));
  Loader loader({std::make_shared<const Dataset>(folder / "a")}, {}, options_of(2, 1, 0, 1, 2));
  const std::string message = message_of([&] {
    for (int64_t s = 0; s < loader.steps_per_epoch(); ++s) loader.next();
  });
  EXPECT_THAT(message, HasSubstr("s1.h5: columns/sequence/tokens: block 0"));
  EXPECT_EQ(message_of([&] { loader.next(); }), message);
}

TEST(Loader, RefusesWhatMakesNoSense) {
  const TestFolder folder;
  const Datasets datasets{make_dataset(folder / "a", 10)};
  EXPECT_THROW(Loader({}, {}, {}), std::invalid_argument);
  EXPECT_THROW(Loader(datasets, {0.0}, {}), std::invalid_argument);
  EXPECT_THROW(Loader(datasets, {-1.0}, {}), std::invalid_argument);
  EXPECT_THROW(Loader(datasets, {1.0, 1.0}, {}), std::invalid_argument);
  EXPECT_THROW(Loader(datasets, {}, options_of(0, 1, 0, 1)), std::invalid_argument);
  EXPECT_THROW(Loader(datasets, {}, options_of(1, 1, 2, 2)), std::invalid_argument);
  Loader loader(datasets, {}, options_of(1, 1, 0, 1));
  EXPECT_THAT(message_of([&] {
                loader.seek({0, 1000});
              }),
              HasSubstr("can not go to row 1000 of epoch 0"));
}

}  // namespace
}  // namespace lathe
