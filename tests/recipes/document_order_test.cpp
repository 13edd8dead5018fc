// What data.order_by and a mixture's order come to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "recipes/parts.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;

template <typename Function>
std::string message_of(Function&& f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

class DocumentOrderOf : public testing::Test {
 protected:
  DocumentOrderOf() {
    config_.recipe = "sft";
    for (const char* file : {"a.jsonl", "b.jsonl"}) write(file, "{\"text\": \"x\"}\n");
  }

  void write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder_ / file).parent_path());
    std::ofstream(folder_ / file) << text;
  }

  DocumentOrder order() {
    resolve_sources(config_.data);
    return document_order_of(config_);
  }

  TempFolder folder_;
  RunConfig config_;
};

TEST_F(DocumentOrderOf, IsThatOfAllSourcesOfTheTrainingData) {
  config_.data.train = {{.path = folder_ / "a.jsonl"}, {.path = folder_ / "b.jsonl", .order_by = "score"}};
  config_.data.eval = {{.path = folder_ / "a.jsonl"}};
  EXPECT_THAT(message_of([&] { order(); }), HasSubstr("a.jsonl has no order_by, but others have"));
  config_.data.order_by = "difficulty";
  EXPECT_EQ(order(), DocumentOrder::kAscending);
  EXPECT_EQ(prepare_options(config_, config_.data.train[0]).order_by, "difficulty");
  EXPECT_EQ(prepare_options(config_, config_.data.train[1]).order_by, "score");
  EXPECT_EQ(prepare_options(config_, config_.data.eval[0]).order_by, "");
  config_.data.order = "descending";
  EXPECT_EQ(order(), DocumentOrder::kDescending);
  config_.recipe = "dpo";
  EXPECT_THAT(message_of([&] { order(); }), HasSubstr("data.order_by is there for the recipes sft and pretrain only, not for dpo"));
}

TEST_F(DocumentOrderOf, IsNoneUnlessAsked) {
  config_.data.train = {{.path = folder_ / "a.jsonl"}};
  EXPECT_EQ(order(), DocumentOrder::kNone);
  config_.data.order = "ascending";
  EXPECT_THAT(message_of([&] { order(); }), HasSubstr("data.order is ascending, but no data.order_by says by what"));
}

TEST_F(DocumentOrderOf, ComesWithAMixture) {
  write("mix/kept/web/part-000000.jsonl", "{\"text\": \"x\"}\n");
  write("mix/mixture.json",
        R"({"format": "lathe mixture", "version": 1, "order": {"by": "quality", "descending": true},
            "sources": [{"path": "kept/web", "tier": "gold", "words": 1, "weight": 1, "share": 1}]})");
  config_.data.train = {{.path = folder_ / "mix"}};
  EXPECT_EQ(order(), DocumentOrder::kDescending);
  EXPECT_EQ(prepare_options(config_, config_.data.train.at(0)).order_by, "curated.order");
  config_.data.train = {{.path = folder_ / "mix"}};
  config_.data.order = "ascending";
  EXPECT_THAT(message_of([&] { order(); }), HasSubstr("goes by quality, descending; leave data.order out"));
}

}  // namespace
}  // namespace lathe
