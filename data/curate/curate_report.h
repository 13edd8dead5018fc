#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/curate/decide.h"
#include "data/curate/occupations.h"

namespace lathe {

// What a curation did, for people: every number counts documents, or says what it counts.
struct CurateReport {
  struct Stage {  // of the funnel: what is left behind it
    std::string name;
    int64_t documents = 0, bytes = 0, tokens = 0;
    double words = 0;
  };
  struct Dropped {
    std::string stage, rule;
    double threshold = 0;
    int64_t documents = 0, bytes = 0;
  };
  struct Histogram {
    std::string signal, meaning;
    double low = 0, high = 0;
    std::vector<int64_t> counts;
    std::vector<std::pair<std::string, double>> thresholds;  // of rules in use
  };
  struct Example {
    std::string rule, origin, text;
  };
  struct Contaminated {
    std::string task;
    int64_t documents = 0;
  };

  std::string key;  // of what made it
  CurateResult result;
  bool has_tokens = false;  // a tokenizer counted them
  std::vector<Stage> funnel;
  std::vector<Dropped> dropped;
  std::vector<Histogram> histograms;
  std::vector<Example> examples;
  std::vector<Contaminated> contaminated;
  std::vector<std::pair<int64_t, int64_t>> clusters;  // size of a set of duplicates, how many sets
  std::map<std::string, int64_t> languages, tiers, pii, sources;
  std::vector<MixtureSource> mixture;
  std::vector<double> stage_starts;          // of the mixture; none: it stays the same
  std::string order_by;                      // signal that training goes by; empty: none
  bool descending = false;
  std::optional<QualityReport> quality;      // of the classifier that was trained
  std::vector<OccupationCount> occupations;  // of what is kept; none: they were not counted
  int64_t bloom_bytes = 0;
  double bloom_false_positives = 0;
  int64_t cut_documents = 0, cut_bytes = 0;  // of what is kept
  int64_t evaluation_items = 0, items_too_short = 0;
};

// The first of each rule, from lines of excluded files.
class ExampleCollector {
 public:
  void add(std::string_view line);
  std::vector<CurateReport::Example> all() const { return examples_; }

 private:
  std::vector<CurateReport::Example> examples_;
  std::map<std::string, int> counts_;
};

CurateReport make_report(const CurateOptions& options, const Rules& rules,
                         const Decisions& decisions, const ForEachBlock& for_each,
                         const Contamination* contamination);
std::vector<OccupationCount> count_occupations(const Occupations& occupations,
                                               const Decisions& decisions,
                                               const ForEachBlock& for_each);
std::string report_json(const CurateReport& report);
std::string report_page(const CurateReport& report);  // one HTML page, nothing loaded from outside
// The result that a report.json holds; nothing when it is of another key or damaged.
std::optional<CurateResult> read_result(const std::string& report_json, const std::string& key);

}  // namespace lathe
