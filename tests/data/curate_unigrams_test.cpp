// How often words occur, read and counted, and the mean that comes of it, by hand.
#include "data/curate/unigrams.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/curate/curate.h"
#include "tests/data/curate_tools.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;

double logprob(const Unigrams& unigrams, const std::string& text) {
  Resources resources;
  resources.unigrams = &unigrams;
  return SignalsOf(text, nullptr, {}, resources)["unigram_logprob"];
}

TEST(Unigrams, AreTheMeanOfTheWordsLogarithms) {
  TestFolder folder;
  write_text(folder / "f.csv", "word,count\nthe,6\ncat,3\nThe,0\nél,1\n");
  const Unigrams unigrams({folder / "f.csv", {}}, 1);
  EXPECT_EQ(unigrams.size(), 3u);
  EXPECT_DOUBLE_EQ(logprob(unigrams, "the THE cat"), (2 * std::log(0.6) + std::log(0.3)) / 3);
  EXPECT_DOUBLE_EQ(logprob(unigrams, "ÉL"), std::log(0.1));
  EXPECT_DOUBLE_EQ(logprob(unigrams, "The dog."), (std::log(0.6) + 2 * std::log(1e-9)) / 3);
  EXPECT_EQ(logprob(unigrams, ""), 0);
  EXPECT_EQ(SignalsOf("the")["unigram_logprob"], 0);
}

TEST(Unigrams, MayBeCountedInTextsAndAreThoseOfAListThen) {
  TestFolder folder;
  write_text(folder / "a.jsonl", "{\"text\": \"The cat saw the\"}\n{\"text\": \"a Cat. The\"}\n");
  write_text(folder / "b.txt", "É é\n");
  write_text(folder / "list.tsv", "the\t3\ncat\t2\nsaw\t1\na\t1\n.\t1\né\t2\n");
  const Unigrams counted({"", {folder / "a.jsonl", folder / "b.txt"}}, 2);
  const Unigrams listed({folder / "list.tsv", {}}, 1);
  EXPECT_EQ(counted.size(), 6u);
  for (const char* text : {"the", "cat saw", "A . É", "dog the"})
    EXPECT_DOUBLE_EQ(logprob(counted, text), logprob(listed, text)) << text;
  EXPECT_DOUBLE_EQ(logprob(counted, "the"), std::log(0.3));
}

TEST(Unigrams, WhatIsNoListOfWordsIsRefusedByFileAndLine) {
  TestFolder folder;
  const auto message = [&](const std::string& text) {
    write_text(folder / "f.csv", text);
    return message_of([&] { Unigrams({folder / "f.csv", {}}, 1); });
  };
  EXPECT_THAT(message("the,5\ncat,many\n"),
              HasSubstr("f.csv:2: found `cat,many`, expected a word and its count"));
  EXPECT_THAT(message("the,5\ncat\n"), HasSubstr("f.csv:2: "));
  EXPECT_THAT(message("the,5\ncat,-1\n"), HasSubstr("f.csv:2: "));
  EXPECT_THAT(message("word,count\n"), HasSubstr("f.csv: holds no word"));
  EXPECT_THAT(message("the,0\n"), HasSubstr("f.csv: holds no word"));
  EXPECT_THAT(message_of([&] { Unigrams({"a", {"b"}}, 1); }), HasSubstr("both given"));
}

TEST(Unigrams, ARuleWithoutFrequenciesIsRefused) {
  TestFolder folder;
  write_text(folder / "a.jsonl", "{\"text\": \"one\"}\n");
  CurateOptions options;
  options.sources.push_back({.name = "a", .files = {folder / "a.jsonl"}, .filters = {"unigram"}});
  const auto message = [&] { return message_of([&] { curate(options, folder / "out"); }); };
  EXPECT_THAT(message(), HasSubstr("filters asks for a signal of unigram, which needs "
                                   "unigram.frequencies or unigram.corpus"));
  options.sources[0].filters.clear();
  options.drop = {"words < 1 or unigram_logprob < -9"};
  EXPECT_THAT(message(), HasSubstr("drop: words < 1 or unigram_logprob < -9 asks"));
  options.drop.clear();
  options.quality = "unigram_logprob";
  EXPECT_THAT(message(), HasSubstr("duplicates.quality asks"));
  options.quality = "words";
  EXPECT_EQ(curate(options, folder / "out").kept, 1);
}

// One list, then another: the stored signals are not those of the first.
TEST(Unigrams, OtherFrequenciesMeasureAnew) {
  TestFolder folder;
  write_text(folder / "a.jsonl", "{\"text\": \"one two\"}\n{\"text\": \"three three\"}\n");
  write_text(folder / "f.csv", "one,1\ntwo,1\n");
  CurateOptions options;
  options.sources.push_back({.name = "a", .files = {folder / "a.jsonl"}, .filters = {"unigram"}});
  options.unigram.frequencies = folder / "f.csv";
  const CurateResult first = curate(options, folder / "out");
  EXPECT_EQ(first.dropped_by, (std::map<std::string, int64_t>{{"unigram_logprob", 1}}));
  EXPECT_THAT(read_file(folder / "out/kept/a/part-000000.jsonl"), HasSubstr("one two"));
  write_text(folder / "f.csv", "three,1\n");
  EXPECT_EQ(curate(options, folder / "out").kept, 1);
  EXPECT_THAT(read_file(folder / "out/kept/a/part-000000.jsonl"), HasSubstr("three"));
}

}  // namespace
}  // namespace lathe
