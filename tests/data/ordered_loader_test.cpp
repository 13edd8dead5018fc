// Documents by a number of theirs: in every epoch the same order, for any ranks and after any stop.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/corpus/number_field.h"
#include "data/loader/loader.h"
#include "data/shards/order_scalar.h"
#include "tests/data/folder.h"
#include "tests/data/loader_tools.h"

namespace lathe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct OrderedDocument {
  float order;
  std::vector<int32_t> ids;
};

std::shared_ptr<const Dataset> make_ordered(const std::string& folder,
                                            const std::vector<OrderedDocument>& documents) {
  std::filesystem::create_directory(folder);
  DatasetManifest manifest{1, "h", "", "", 60000, {}, ""};
  for (size_t s = 0; s < 2; ++s) {
    const std::string file = "s" + std::to_string(s) + ".h5";
    ShardWriter writer(folder + "/" + file, {"h", "", 60000}, {"sequence"}, {kOrderScalar});
    for (size_t d = documents.size() * s / 2; d < documents.size() * (s + 1) / 2; ++d) {
      const std::span<const int32_t> ids(documents[d].ids);
      const std::span<const uint8_t> mask;
      writer.add({&ids, 1}, {&mask, 1}, {&documents[d].order, 1});
    }
    manifest.shards.push_back(shard_entry(file, writer.finish()));
  }
  write_manifest(folder, manifest);
  return std::make_shared<const Dataset>(folder);
}

LoaderOptions ordered(LoaderOptions options, DocumentOrder order = DocumentOrder::kAscending) {
  options.order = order;
  return options;
}

class OrderedLoader : public testing::Test {
 protected:
  // Two data sets; the order goes through both. 2.5 is there three times.
  OrderedLoader()
      : small_{make_ordered(folder_ / "a", {{5, {50, 51}}, {2.5, {25}}, {1, {10, 11, 12}}}),
               make_ordered(folder_ / "b", {{-1, {1}}, {2.5, {26}}, {9, {90}}, {2.5, {27}}})} {
    std::vector<OrderedDocument> documents;
    int32_t token = 0;
    for (uint64_t d = 0; d < 150; ++d) {
      documents.push_back({static_cast<float>(mix_bits(d) % 50) / 8, {}});
      for (uint64_t t = 0; t < mix_bits(d + 1000) % 41; ++t) documents.back().ids.push_back(token++);
    }
    large_ = {make_ordered(folder_ / "c", documents)};
  }

  TestFolder folder_;
  Datasets small_, large_;
};

TEST_F(OrderedLoader, EveryEpochGoesByTheNumberEqualsAsTheyStand) {
  LoaderOptions options = ordered(options_of(1, 1, 0, 1));
  options.max_length = 4;
  const std::vector<int64_t> epoch{1, 10, 11, 12, 25, 26, 27, 50, 51, 90};
  std::vector<int64_t> two = epoch;
  two.insert(two.end(), epoch.begin(), epoch.end());
  // 1 10 11 12 | 25 26 27 | 50 51 90
  EXPECT_EQ(Loader(small_, {}, options).rows_per_epoch(), 3);
  EXPECT_EQ(id_stream(small_, options, 6), two);
  options.order = DocumentOrder::kDescending;
  EXPECT_THAT(id_stream(small_, options, 3), ElementsAre(90, 50, 51, 25, 26, 27, 10, 11, 12, 1));
  options.packing = Packing::kOff;
  EXPECT_THAT(id_stream(small_, options, 3), ElementsAre(90, 50, 51, 25));
  options.packing = Packing::kWrapped;
  EXPECT_THAT(id_stream(small_, options, 2), ElementsAre(90, 50, 51, 25, 26, 27, 10, 11));
}

TEST_F(OrderedLoader, CopiesByWeightStandOneBehindTheOther) {
  LoaderOptions options = ordered(options_of(1, 1, 0, 1));
  options.max_length = 100;
  Loader loader(small_, {2, 0}, options);
  EXPECT_THAT(values(loader.next()[0].tokens),
              ElementsAre(10, 11, 12, 10, 11, 12, 25, 25, 50, 51, 50, 51));
}

TEST_F(OrderedLoader, GivesTheSameStreamForAnyRanksAndMicroBatches) {
  const std::vector<int64_t> expected = id_stream(large_, ordered(options_of(12, 1, 0, 1)), 12);
  int compared = 0;
  for (const int size : {1, 2, 3, 4}) {
    for (const int64_t micro_batches : {1, 3}) {
      if (12 % (size * micro_batches) != 0) continue;
      const LoaderOptions options = options_of(12 / size / micro_batches, micro_batches, 0, size, 2);
      EXPECT_EQ(id_stream(large_, ordered(options), 12), expected) << size << " " << micro_batches;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 7);
}

TEST_F(OrderedLoader, GoesOnExactlyAfterAStopAtAnyStepUnderStagesToo) {
  for (const bool staged : {false, true}) {
    LoaderOptions one = ordered(options_of(12, 1, 0, 1));
    if (staged) one.curriculum = {{0, 3}, {{1}, {0.5}}, 1, 12};
    Loader loader(large_, {}, one);
    std::vector<LoaderState> states{loader.state()};
    std::vector<size_t> taken{0};
    for (int step = 0; step < 12; ++step) {
      taken.push_back(taken.back() + static_cast<size_t>(loader.next()[0].num_tokens()));
      states.push_back(loader.state());
    }
    const std::vector<int64_t> whole = id_stream(large_, one, 12);
    LoaderOptions three = one;
    three.rows_per_micro_batch = 4;
    three.size = 3;
    for (size_t stop = 0; stop <= 12; ++stop) {
      const std::vector<int64_t> rest(whole.begin() + static_cast<ptrdiff_t>(taken[stop]),
                                      whole.end());
      EXPECT_EQ(id_stream(large_, three, static_cast<int64_t>(12 - stop), states[stop]), rest)
          << stop;
    }
  }
}

TEST_F(OrderedLoader, APositionOfAnotherOrderIsRefused) {
  Loader up(large_, {}, ordered(options_of(12, 1, 0, 1)));
  up.next();
  Loader down(large_, {}, ordered(options_of(12, 1, 0, 1), DocumentOrder::kDescending));
  EXPECT_THAT(message_of([&] { down.seek(up.state()); }), HasSubstr("or another order"));
  Loader shuffled(large_, {}, options_of(12, 1, 0, 1));
  EXPECT_THAT(message_of([&] { shuffled.seek(up.state()); }), HasSubstr("or another order"));
  Loader other_steps(large_, {}, ordered(options_of(3, 1, 0, 1)));
  other_steps.seek(up.state());  // rows are rows
  EXPECT_EQ(other_steps.state().row, 12);
}

TEST_F(OrderedLoader, WhatHasNoNumberIsRefusedByName) {
  const Datasets plain{make_dataset(folder_ / "plain", 10)};
  EXPECT_THAT(message_of([&] { Loader(plain, {}, ordered(options_of(1, 1, 0, 1))); }),
              HasSubstr("plain: was prepared without a number"));
  LoaderOptions preferences = ordered(options_of(1, 1, 0, 1));
  preferences.label = "label";
  EXPECT_THAT(message_of([&] { Loader(small_, {}, preferences); }),
              HasSubstr("preferences can not be ordered"));
}

TEST(NextFit, BeginsARowWhereTheNextHasNoRoom) {
  const std::vector<int64_t> lengths{3, 2, 0, 9, 1, 4};
  const PackingPlan plan = plan_packing(lengths, 4, Packing::kNextFit);
  EXPECT_THAT(plan.pieces, ElementsAre(Piece{0, 0, 3}, Piece{1, 0, 2}, Piece{3, 0, 4},
                                       Piece{3, 4, 4}, Piece{3, 8, 1}, Piece{4, 0, 1},
                                       Piece{5, 0, 4}));
  EXPECT_THAT(plan.first_piece, ElementsAre(0, 1, 2, 3, 4, 6, 7));
  EXPECT_EQ(plan_packing({}, 4, Packing::kNextFit).rows(), 0);
}

TEST(NumberField, StandsAtAKeyOfKeys) {
  EXPECT_EQ(number_at(R"({"a": 2, "b": {"c": -0.5}})", "a"), 2);
  EXPECT_EQ(number_at(R"({"a": 2, "b": {"c": -0.5}})", "b.c"), -0.5);
  EXPECT_EQ(number_at(R"({"a": "1e3"})", "a"), 1000);
  const auto message = [](const char* record, const char* path) {
    return message_of([&] { number_at(record, path); });
  };
  EXPECT_THAT(message(R"({"a": 2})", "b"), HasSubstr("b: found no `b`, expected a number"));
  EXPECT_THAT(message(R"({"a": 2})", "a.b"), HasSubstr("a.b: found no `b`"));
  EXPECT_THAT(message(R"({"a": true})", "a"), HasSubstr("a: found "));
  EXPECT_THAT(message(R"({"a": "x"})", "a"), HasSubstr("a: found "));
  EXPECT_THAT(message(R"({"a": null})", "a"), HasSubstr("a: found "));
  EXPECT_THAT(message("plain text", "a"), HasSubstr("no JSON object"));
}

}  // namespace
}  // namespace lathe
