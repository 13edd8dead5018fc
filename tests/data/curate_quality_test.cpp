// fastText classifiers: trained of examples, measured on held-out ones, applied as a signal and as
// the teller of languages.
#include "data/curate/quality_classifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "data/curate/curate.h"
#include "tests/data/curate_tools.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// Texts of 12 words out of 40 that begin with a letter.
std::string text_of(std::mt19937_64& random, char letter) {
  std::string text;
  for (int i = 0; i < 12; ++i) {
    text += letter;
    text += static_cast<char>('a' + random() % 5);
    text += static_cast<char>('a' + random() % 8);
    text += i == 11 ? "." : i == 5 ? "\n" : " ";
  }
  return text;
}

std::string lines(char letter, int count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string all;
  for (int i = 0; i < count; ++i) all += json{{"text", text_of(random, letter)}}.dump() + "\n";
  return all;
}

class Quality : public testing::Test {
 protected:
  Quality() {
    write_text(folder_ / "good.jsonl", lines('g', 120, 1));
    write_text(folder_ / "bad.jsonl", lines('b', 150, 2));
    options_.positives = {folder_ / "good.jsonl"};
    options_.negatives = {folder_ / "bad.jsonl"};
    options_.training = {.word_ngrams = 2, .dim = 8, .epoch = 20, .bucket = 1000, .lr = 0.5};
    options_.held_out = 0.2;
  }

  TestFolder folder_;
  QualityOptions options_;
};

TEST(QualityTable, CountsWhatIsTakenAndWhatOfItIsRight) {
  const std::vector<double> scores{0.9, 0.8, 0.5, 0.4, 0.1};
  const std::vector<bool> good{true, false, true, true, false};
  const auto rows = precision_and_recall(scores, good, {0.05, 0.5, 0.51, 0.95});
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_DOUBLE_EQ(rows[0].precision, 3.0 / 5);
  EXPECT_DOUBLE_EQ(rows[0].recall, 1);
  EXPECT_DOUBLE_EQ(rows[0].f1, 2 * 0.6 / 1.6);
  EXPECT_DOUBLE_EQ(rows[1].precision, 2.0 / 3);  // at the threshold is taken
  EXPECT_DOUBLE_EQ(rows[1].recall, 2.0 / 3);
  EXPECT_DOUBLE_EQ(rows[2].precision, 1.0 / 2);
  EXPECT_TRUE(std::isnan(rows[3].precision));
  EXPECT_EQ(rows[3].recall, 0);
  EXPECT_EQ(rows[3].f1, 0);
}

TEST(QualityExamples, AreCutBehindWhiteSpaceElseBetweenCharacters) {
  EXPECT_THAT(pieces_of("one two three", 8), ElementsAre("one two ", "three"));
  EXPECT_THAT(pieces_of("onetwothree", 8), ElementsAre("onetwoth", "ree"));
  EXPECT_THAT(pieces_of("aéé", 4), ElementsAre("aé", "é"));
  EXPECT_THAT(pieces_of("12345678", 8), ElementsAre("12345678"));
  EXPECT_TRUE(pieces_of("", 8).empty());
}

TEST_F(Quality, LearnsAndSaysHowWell) {
  const QualityReport report = train_quality_classifier(options_, 1, "k", folder_ / "q");
  EXPECT_EQ(report.trained_positives + report.held_out_positives, 120);
  EXPECT_EQ(report.trained_negatives + report.held_out_negatives, 150);
  EXPECT_GT(report.held_out_positives, 10);
  EXPECT_GT(report.held_out_negatives, 10);
  // The two kinds share no word.
  ASSERT_EQ(report.rows.size(), 13u);
  EXPECT_EQ(report.rows[6].threshold, 0.5);
  EXPECT_EQ(report.rows[6].precision, 1);
  EXPECT_EQ(report.rows[6].recall, 1);
  EXPECT_THAT(quality_table(report), HasSubstr("0.50      1.000    1.000    1.000"));
  const TextClassifier classifier(folder_ / "q/model.bin");
  EXPECT_THAT(classifier.labels(), ElementsAre("cc", "hq"));
  EXPECT_GT(classifier.probability("gaa gbb gcc", "hq"), 0.9);
  EXPECT_LT(classifier.probability("baa bbb bcc", "hq"), 0.1);
}

TEST_F(Quality, TheSameExamplesGiveTheSameBytesWhateverTheirFilesAndOrder) {
  train_quality_classifier(options_, 1, "k", folder_ / "one");
  const std::string all = lines('g', 120, 1);
  const size_t half = all.find('\n', all.size() / 2) + 1;
  write_text(folder_ / "second.jsonl", all.substr(0, half) + all.substr(0, half));
  write_text(folder_ / "first.jsonl", all.substr(half));
  options_.positives = {folder_ / "first.jsonl", folder_ / "second.jsonl"};
  train_quality_classifier(options_, 3, "k", folder_ / "two");
  EXPECT_EQ(read_file(folder_ / "one/model.bin"), read_file(folder_ / "two/model.bin"));
  EXPECT_EQ(read_file(folder_ / "one/report.json"), read_file(folder_ / "two/report.json"));
}

TEST_F(Quality, IsTrainedOnceAndAgainWhenItIsDamaged) {
  train_quality_classifier(options_, 1, "k", folder_ / "q");
  const std::string model = read_file(folder_ / "q/model.bin");
  options_.positives = {folder_ / "not there"};
  EXPECT_EQ(train_quality_classifier(options_, 1, "k", folder_ / "q").rows.size(), 13u);
  EXPECT_THROW(train_quality_classifier(options_, 1, "other", folder_ / "q"),
               std::invalid_argument);
  EXPECT_FALSE(read_quality_report(folder_ / "q").has_value());
  options_.positives = {folder_ / "good.jsonl"};
  train_quality_classifier(options_, 1, "k", folder_ / "q");
  write_byte(folder_ / "q/model.bin", 500, '\1');
  train_quality_classifier(options_, 1, "k", folder_ / "q");
  EXPECT_EQ(read_file(folder_ / "q/model.bin"), model);
}

TEST_F(Quality, OnlySoManyExamplesAreTaken) {
  options_.most_examples = 50;
  const QualityReport report = train_quality_classifier(options_, 1, "k", folder_ / "q");
  EXPECT_EQ(report.trained_positives + report.held_out_positives, 50);
  EXPECT_EQ(report.trained_negatives + report.held_out_negatives, 50);
  write_text(folder_ / "good.jsonl", "{\"text\": \" \\n\"}\n");
  EXPECT_THAT(message_of([&] { train_quality_classifier(options_, 1, "o", folder_ / "q"); }),
              HasSubstr("quality_classifier.positives: 1 file(s) give no example to train on"));
}

// What means something to fastText must not: neither a label in a text nor the end of a line.
TEST_F(Quality, TextsCanNotSayTheirLabelNorEndThemselves) {
  train_quality_classifier(options_, 1, "k", folder_ / "q");
  const TextClassifier classifier(folder_ / "q/model.bin");
  const double plain = classifier.probability("baa bbb", "hq");
  // What stands behind it counts.
  EXPECT_LT(classifier.probability("baa </s> bbb", "hq"),
            classifier.probability("baa </s> gbb", "hq"));
  EXPECT_EQ(classifier.probability(std::string_view("baa\n\0\rbbb", 9), "hq"), plain);
  EXPECT_NE(classifier.probability("baa", "hq"), plain);
  std::vector<LabelledText> texts;
  for (int i = 0; i < 20; ++i) {
    texts.push_back({"one", "aaa __label__two bbb"});
    texts.push_back({"two", "ccc ddd"});
  }
  train_classifier(texts, options_.training, folder_ / "labels.bin");
  EXPECT_EQ(TextClassifier(folder_ / "labels.bin").best("aaa bbb").label, "one");
  train_classifier({{"one", "__label__three x"}, {"two", "y"}}, options_.training,
                   folder_ / "labels.bin");
  EXPECT_THAT(TextClassifier(folder_ / "labels.bin").labels(), ElementsAre("one", "two"));
}

TEST_F(Quality, IsASignalThatRulesAndExpressionsUse) {
  write_text(folder_ / "a.jsonl", lines('g', 3, 7) + lines('b', 2, 8));
  CurateOptions options;
  options.sources.push_back({.name = "a", .files = {folder_ / "a.jsonl"}, .filters = {"quality"}});
  options.quality_classifier = options_;
  options.near = false;
  const CurateResult result = curate(options, folder_ / "out");
  EXPECT_EQ(result.kept, 3);
  EXPECT_EQ(result.dropped_by, (std::map<std::string, int64_t>{{"low_quality", 2}}));
  const json report = json::parse(read_file(folder_ / "out/report.json"));
  EXPECT_EQ(report["quality_classifier"]["thresholds"].size(), 13u);
  EXPECT_THAT(read_file(folder_ / "out/report.html"), HasSubstr("quality classifier: trained on"));
  // The model that was trained, as a user's.
  options.quality_classifier = {.model = folder_ / "out/quality/model.bin", .label = "cc"};
  options.sources[0].filters.clear();
  options.drop = {"quality < 0.3"};
  EXPECT_EQ(curate(options, folder_ / "other").kept, 2);
  options.quality_classifier.label = "good";
  EXPECT_THAT(message_of([&] { curate(options, folder_ / "third"); }),
              HasSubstr("has no `good`; expected one of cc, hq"));
  options.quality_classifier = {.model = folder_ / "none.bin"};
  EXPECT_THAT(message_of([&] { curate(options, folder_ / "third"); }),
              HasSubstr("quality_classifier.model: " + (folder_ / "none.bin") + ": there is no such"));
  options.quality_classifier = {};
  EXPECT_THAT(message_of([&] { curate(options, folder_ / "third"); }),
              HasSubstr("drop: quality < 0.3 asks for a signal of quality, which needs"));
}

TEST_F(Quality, WhatIsNoClassifierIsRefused) {
  const auto message = [](const std::string& path) {
    return message_of([&] { TextClassifier classifier(path); });
  };
  EXPECT_THAT(message(folder_ / "none.bin"), HasSubstr("none.bin: there is no such file"));
  EXPECT_THAT(message(folder_ / "good.jsonl"), HasSubstr("good.jsonl: is no model of fastText"));
}

TEST_F(Quality, AFastTextModelTellsLanguages) {
  std::vector<LabelledText> texts;
  std::mt19937_64 random(3);
  for (int i = 0; i < 50; ++i) {
    texts.push_back({"en", text_of(random, 'e')});
    texts.push_back({"deu_Latn", text_of(random, 'd')});
  }
  train_classifier(texts, options_.training, folder_ / "lid.bin");
  write_text(folder_ / "a.jsonl", lines('e', 3, 7) + lines('d', 2, 8));
  CurateOptions options;
  options.sources.push_back({.name = "a", .files = {folder_ / "a.jsonl"}, .filters = {"language"}});
  options.near = false;
  options.languages = {"deu_Latn"};
  options.language_model = folder_ / "lid.bin";
  const CurateResult result = curate(options, folder_ / "out");
  EXPECT_EQ(result.kept, 2);
  EXPECT_EQ(result.dropped_by, (std::map<std::string, int64_t>{{"language_other", 3}}));
  const json report = json::parse(read_file(folder_ / "out/report.json"));
  EXPECT_EQ(report["languages"], (json{{"en", 3}, {"deu_Latn", 2}}));
  options.languages.clear();
  EXPECT_THAT(message_of([&] { curate(options, folder_ / "other"); }),
              HasSubstr("language_model is given, but `languages` names none"));
}

}  // namespace
}  // namespace lathe
