#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/curate/split_text.h"

namespace lathe {

// How often occupations are named in one sentence with words of women and of men, beside the share
// of women that statistics give for them (Rudinger et al. 2018, "Gender Bias in Coreference
// Resolution": WinoGender's occupations-stats.tsv).
class Occupations {
 public:
  // Tab-separated with a header: a column "occupation" and one whose name ends in pct_female, the
  // last such (WinoGender's is of the US Bureau of Labor Statistics). Throws std::invalid_argument
  // "file:line: ...".
  explicit Occupations(const std::string& path);

  const std::vector<std::string>& names() const { return names_; }
  const std::vector<double>& percent_female() const { return percent_female_; }

  // Appends, for each occupation that the text names beside either, the numbers of sentences as
  // packed by pack(). Case is no matter, nor is a plural's s.
  void count(const SplitText& text, std::vector<uint64_t>& counts) const;

  struct Count {
    uint32_t occupation = 0;
    uint16_t female = 0, male = 0;  // sentences of a document, 65535 at most
  };
  static uint64_t pack(const Count& count);
  static Count unpack(uint64_t packed);

 private:
  std::vector<std::string> names_;
  std::vector<double> percent_female_;
  std::unordered_map<std::string, uint32_t> numbers_;  // by word
};

// Of the occupations of a report: what came together with what.
struct OccupationCount {
  std::string occupation;
  int64_t female = 0, male = 0;
  double percent_female = 0;  // of the statistics

  double found_percent() const;  // of women among the sentences; NaN where there are none
};

inline constexpr int64_t kLeastSentences = 10;  // of an occupation in a report's correlation

// Pearson's correlation of the found with the statistics' percent, over occupations with at least
// `least` sentences; NaN where there are fewer than three, or all are alike.
double correlation(const std::vector<OccupationCount>& counts, int64_t least);

}  // namespace lathe
