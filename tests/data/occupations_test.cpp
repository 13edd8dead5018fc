// Occupations beside words of women and of men: counted by hand, and balanced where sentences are.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "data/curate/curate.h"
#include "data/curate/occupations.h"
#include "tests/data/folder.h"
#include "tests/shared.h"

namespace lathe {
namespace {

using nlohmann::json;

constexpr const char* kTable =
    "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\n"
    "nurse\t90\t88.5\t2015\r\nplumber\t5\t1.5\t2015\n\ndoctor\t30\t38\t2015\n";

std::vector<Occupations::Count> counted(const Occupations& occupations, const std::string& text) {
  SplitText split;
  split.split(text);
  std::vector<uint64_t> packed;
  occupations.count(split, packed);
  std::vector<Occupations::Count> counts;
  for (const uint64_t one : packed) counts.push_back(Occupations::unpack(one));
  return counts;
}

TEST(Occupations, AreCountedInSentencesWithWomenOrMen) {
  TestFolder folder;
  write_text(folder / "o.tsv", kTable);
  const Occupations occupations(folder / "o.tsv");
  EXPECT_EQ(occupations.names(), (std::vector<std::string>{"nurse", "plumber", "doctor"}));
  EXPECT_EQ(occupations.percent_female(), (std::vector<double>{88.5, 1.5, 38}));
  const auto counts = counted(occupations,
                              "The Nurse said she is late. Nurses and a nurse met him. A nurse.\n"
                              "She left\nThe plumber and the doctor asked him, not HER.");
  ASSERT_EQ(counts.size(), 3u);
  EXPECT_EQ(counts[0].occupation, 0u);
  EXPECT_EQ(counts[0].female, 1);
  EXPECT_EQ(counts[0].male, 1);  // the second sentence, once
  for (size_t i : {1, 2}) {
    EXPECT_EQ(counts[i].occupation, i);
    EXPECT_EQ(counts[i].female, 1);
    EXPECT_EQ(counts[i].male, 1);
  }
  EXPECT_TRUE(counted(occupations, "The nurse left. The shepherd saw her.").empty());
}

TEST(Occupations, TablesThatAreNoneAreRefusedWithTheirLine) {
  TestFolder folder;
  const auto fault = [&](const std::string& text) {
    write_text(folder / "o.tsv", text);
    return message_of([&] { Occupations(folder / "o.tsv"); });
  };
  const std::string head = "occupation\tpct_female\n";
  EXPECT_NE(fault("job\tpct_female\n").find("o.tsv:1: expected the columns"), std::string::npos);
  EXPECT_NE(fault(head + "nurse\t101\n").find("o.tsv:2: expected an occupation"),
            std::string::npos);
  EXPECT_NE(fault(head + "nurse\n").find("o.tsv:2: "), std::string::npos);
  EXPECT_NE(fault(head + "nurse\tnan\n").find("o.tsv:2: "), std::string::npos);
  EXPECT_NE(fault(head + "nurse\t1\nNurse\t2\n").find("o.tsv:3: nurse stands here twice"),
            std::string::npos);
  EXPECT_NE(fault(head).find("holds no occupation"), std::string::npos);
  EXPECT_NE(message_of([&] { Occupations(folder / "none"); }).find("no such file"),
            std::string::npos);
}

TEST(Occupations, CorrelateWithTheStatistics) {
  // Found 100, 50 and 0 percent where the statistics say 90, 50 and 10.
  const std::vector<OccupationCount> counts{
      {"a", 10, 0, 90}, {"b", 5, 5, 50}, {"c", 0, 10, 10}, {"d", 0, 1, 99}};
  EXPECT_DOUBLE_EQ(correlation(counts, 10), 1);
  EXPECT_LT(correlation(counts, 1), 1);
  EXPECT_TRUE(std::isnan(correlation(counts, 11)));
  EXPECT_TRUE(std::isnan(correlation({{"a", 1, 1, 9}, {"b", 1, 1, 8}, {"c", 1, 1, 7}}, 1)));
}

TEST(Occupations, StandInTheReportOfWhatIsKept) {
  TestFolder folder;
  write_text(folder / "o.tsv", kTable);
  write_text(folder / "a.jsonl",
             "{\"text\": \"The nurse is here, she says.\"}\n{\"text\": \"He is a nurse.\"}\n"
             "{\"text\": \"He is a nurse.\"}\n{\"text\": \"The plumber and his son.\"}\n");
  CurateOptions options;
  options.sources.resize(1);
  options.sources[0].name = "a";
  options.sources[0].files = {folder / "a.jsonl"};
  options.occupations = folder / "o.tsv";
  curate(options, folder / "out");  // the copy goes
  const json bias = json::parse(read_file(folder / "out/report.json"))["occupations"];
  ASSERT_EQ(bias["counts"].size(), 3u);
  EXPECT_EQ(bias["counts"][0], (json{{"occupation", "nurse"},
                                     {"female", 1},
                                     {"male", 1},
                                     {"found_percent", 50.0},
                                     {"percent_female", 88.5}}));
  EXPECT_EQ(bias["counts"][1]["male"], 1);
  EXPECT_TRUE(bias["counts"][2]["found_percent"].is_null());
  EXPECT_TRUE(bias["correlation"].is_null());
  // Another table measures anew.
  write_text(folder / "o.tsv", "occupation\tpct_female\nson\t0\n");
  curate(options, folder / "out");
  const json other = json::parse(read_file(folder / "out/report.json"))["occupations"];
  EXPECT_EQ(other["counts"][0]["male"], 1);
}

// Rudinger et al. wrote each sentence with he, she and they: no occupation may lean to a side.
TEST(Occupations, OfWinoGendersSentencesAreBalanced) {
  const std::string path = "data/curation/winogender_all_sentences.tsv";
  if (!have_shared(path)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  std::ifstream in(shared_path(path));
  std::set<std::string> names;
  std::string text, line;
  int sentences = 0;
  for (std::getline(in, line); std::getline(in, line); ++sentences) {
    names.insert(line.substr(0, line.find('.')));
    text += line.substr(line.find('\t') + 1) + "\n";
  }
  ASSERT_EQ(sentences, 720);
  ASSERT_EQ(names.size(), 60u);
  std::string table = "occupation\tpct_female\n";
  for (const std::string& name : names) table += name + "\t50\n";
  TestFolder folder;
  write_text(folder / "o.tsv", table);
  const auto counts = counted(Occupations(folder / "o.tsv"), text);
  EXPECT_EQ(counts.size(), 60u);
  for (const Occupations::Count& count : counts) {
    EXPECT_EQ(count.female, count.male) << count.occupation;
    EXPECT_GE(count.female, 4) << count.occupation;
  }
}

}  // namespace
}  // namespace lathe
