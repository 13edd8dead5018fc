// A mixture that changes at given steps: what comes when, for any ranks and after any stop.
#include "data/loader/curriculum.h"

#include <gtest/gtest.h>

#include <numeric>

#include "data/loader/loader.h"
#include "tests/data/folder.h"
#include "tests/data/loader_tools.h"

namespace lathe {
namespace {

TEST(Curriculum, BeginsAtStepsOrSharesOfAllSteps) {
  const auto steps = [](std::vector<double> starts, double epochs, int64_t max_steps) {
    return first_steps({std::move(starts), {}, epochs, max_steps}, 10);
  };
  EXPECT_EQ(steps({0, 0.5, 0.75}, 1, 100), (std::vector<int64_t>{0, 50, 75}));
  EXPECT_EQ(steps({0, 0.5}, 2.45, 0), (std::vector<int64_t>{0, 13}));  // of 25
  EXPECT_EQ(steps({0, 7, 0.9}, 1, 100), (std::vector<int64_t>{0, 7, 90}));
  EXPECT_NE(message_of([&] { steps({0.1}, 1, 100); }).find("expected 0, for it is the first"),
            std::string::npos);
  EXPECT_NE(message_of([&] {
              steps({0, 50, 0.5}, 1, 100);
            }).find("stage 3 of 3 begins at step 50 of 100; expected a later one than 50"),
            std::string::npos);
  EXPECT_THROW(steps({0, 7.5}, 1, 100), std::invalid_argument);
  EXPECT_THROW(steps({0, -1}, 1, 100), std::invalid_argument);
}

// Two data sets, a of tokens below 30000 and b of others: first a, then both, then b and a tenth
// of a, which is replayed.
class CurriculumStages : public testing::Test {
 protected:
  CurriculumStages()
      : datasets_{make_dataset(folder_ / "a", 120), make_dataset(folder_ / "b", 150, 30000)} {}

  LoaderOptions options(int64_t rows, int64_t micro_batches, int size) const {
    LoaderOptions options = options_of(rows, micro_batches, 0, size);
    options.curriculum = {{0, 5, 0.5}, {{1, 0}, {1, 1}, {0.1, 1}}, 1, 30};
    return options;
  }

  TestFolder folder_;
  Datasets datasets_;
};

TEST_F(CurriculumStages, ChangeTheMixtureAtTheirSteps) {
  Loader loader(datasets_, {}, options(12, 1, 1));
  const std::vector<LoaderStage> stages = loader.stages();
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[1].first_step, 5);
  EXPECT_EQ(stages[2].first_step, 15);
  EXPECT_LT(stages[0].documents, 120);  // some are empty
  std::vector<int64_t> from_a, from_b;
  for (int64_t step = 0; step < 40; ++step) {
    int64_t a = 0, b = 0;
    for (const int64_t id : values(loader.next()[0].tokens)) ++(id < 30000 ? a : b);
    from_a.push_back(a);
    from_b.push_back(b);
  }
  for (size_t step = 0; step < 5; ++step) EXPECT_EQ(from_b[step], 0) << step;
  const auto sum = [](const std::vector<int64_t>& counts, size_t begin, size_t end) {
    return std::accumulate(counts.begin() + static_cast<ptrdiff_t>(begin),
                           counts.begin() + static_cast<ptrdiff_t>(end), int64_t{0});
  };
  EXPECT_GT(sum(from_a, 5, 15), 0);
  EXPECT_GT(sum(from_b, 5, 15), 0);
  // Every token of b, and a tenth of a's documents, in each epoch of the last stage.
  const auto epoch = static_cast<size_t>((stages[2].rows_per_epoch + 11) / 12);
  const int64_t all_of_b = Loader({datasets_[1]}, {}, options_of(12, 1, 0, 1)).report().tokens;
  EXPECT_EQ(sum(from_b, 15, 15 + epoch), all_of_b);
  EXPECT_EQ(sum(from_b, 15 + epoch, 15 + 2 * epoch), all_of_b);
  EXPECT_EQ(sum(from_a, 15, 15 + epoch), sum(from_a, 15 + epoch, 15 + 2 * epoch));
  EXPECT_GT(sum(from_a, 15, 15 + epoch), 0);
  EXPECT_LT(5 * sum(from_a, 15, 15 + epoch), all_of_b);
}

TEST_F(CurriculumStages, GiveTheSameStreamForAnyRanksAndMicroBatches) {
  const std::vector<int64_t> expected = id_stream(datasets_, options(12, 1, 1), 30);
  int compared = 0;
  for (const int size : {1, 2, 3, 4}) {
    for (const int64_t micro_batches : {1, 3}) {
      if (12 % (size * micro_batches) != 0) continue;
      EXPECT_EQ(id_stream(datasets_, options(12 / size / micro_batches, micro_batches, size), 30),
                expected)
          << size << " " << micro_batches;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 7);
}

TEST_F(CurriculumStages, GoOnExactlyAfterAStopAtAnyStep) {
  const LoaderOptions one = options(12, 1, 1);
  Loader loader(datasets_, {}, one);
  std::vector<LoaderState> states{loader.state()};
  std::vector<size_t> taken{0};
  for (int step = 0; step < 30; ++step) {
    const auto tokens = static_cast<size_t>(loader.next()[0].num_tokens());
    states.push_back(loader.state());
    taken.push_back(taken.back() + tokens);
  }
  const std::vector<int64_t> whole = id_stream(datasets_, one, 30);
  ASSERT_EQ(whole.size(), taken.back());
  for (size_t stop = 0; stop <= 30; ++stop) {
    const std::vector<int64_t> rest(whole.begin() + static_cast<ptrdiff_t>(taken[stop]),
                                    whole.end());
    EXPECT_EQ(id_stream(datasets_, options(4, 1, 3), static_cast<int64_t>(30 - stop), states[stop]),
              rest)
        << stop;
  }
}

TEST_F(CurriculumStages, MadeAheadIsTheSame) {
  LoaderOptions ahead = options(12, 1, 1);
  ahead.prefetch = 3;
  EXPECT_EQ(id_stream(datasets_, ahead, 30), id_stream(datasets_, options(12, 1, 1), 30));
}

TEST_F(CurriculumStages, APositionOfOtherStagesIsRefused) {
  Loader loader(datasets_, {}, options(12, 1, 1));
  for (int step = 0; step < 7; ++step) loader.next();
  const auto refuses = [&](const LoaderOptions& other) {
    Loader changed(datasets_, {}, other);
    return message_of([&] { changed.seek(loader.state()); }).find("is of other stages") !=
           std::string::npos;
  };
  EXPECT_FALSE(refuses(options(3, 2, 2)));  // a step has 12 rows all the same
  EXPECT_TRUE(refuses(options(6, 1, 1)));
  EXPECT_TRUE(refuses(options_of(12, 1, 0, 1)));  // no stages
  LoaderOptions later = options(12, 1, 1);
  later.curriculum.starts[1] = 6;
  EXPECT_TRUE(refuses(later));
  Loader changed(datasets_, {}, later);
  changed.seek({});  // the start is the start of any
}

TEST_F(CurriculumStages, WithoutRowsOrWeightsAreRefused) {
  LoaderOptions bad = options(12, 1, 1);
  bad.curriculum.weights[1] = {0, 0};
  EXPECT_NE(message_of([&] { Loader(datasets_, {}, bad); }).find("no row from step 5 on"),
            std::string::npos);
  bad.curriculum.weights.pop_back();
  EXPECT_NE(message_of([&] { Loader(datasets_, {}, bad); }).find("3 begin, but 2 have weights"),
            std::string::npos);
}

}  // namespace
}  // namespace lathe
