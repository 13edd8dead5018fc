#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/curate/text_classifier.h"

// A classifier of good and bad texts: trained here from examples, or the user's own.
namespace lathe {

struct QualityOptions {
  std::vector<std::string> positives = {}, negatives = {};  // files of examples
  std::string model;                              // instead: a classifier that is there
  std::string label = "hq";                       // whose probability is the signal
  ClassifierTraining training = {};
  double held_out = 0.1;  // share of the examples that only measures
  int64_t most_examples = 50'000;
  bool trains() const { return !positives.empty() || !negatives.empty(); }
  bool empty() const { return model.empty() && !trains(); }
};

// What the held-out examples say.
struct QualityReport {
  struct Row {  // of texts with at least the threshold
    double threshold = 0, precision = 0, recall = 0, f1 = 0;  // NaN where it is of none
  };
  int64_t trained_positives = 0, trained_negatives = 0;
  int64_t held_out_positives = 0, held_out_negatives = 0;
  std::vector<Row> rows;
};

// Texts become examples of at most 4 KiB, cut at white space; of each side most_examples, chosen
// by their hash, which also decides what is held out and in which order is trained: so that equal
// texts fall on the same side, and neither files nor their order matter.
//
// Writes folder/model.bin and folder/report.json, or finds them made under the same key. Memory:
// the examples, and what train_classifier takes. Throws std::invalid_argument where one side has no
// example to train on.
QualityReport train_quality_classifier(const QualityOptions& options, int threads,
                                       const std::string& key, const std::string& folder);
// What was written there; nothing where there is none.
std::optional<QualityReport> read_quality_report(const std::string& folder);

// The object that report.json holds, and a table for people.
std::string quality_json(const QualityReport& report);
std::string quality_table(const QualityReport& report);

// scores[i] is of an example that is good where good[i]; thresholds as they are to be listed.
std::vector<QualityReport::Row> precision_and_recall(const std::vector<double>& scores,
                                                     const std::vector<bool>& good,
                                                     const std::vector<double>& thresholds);

// Of at most so many bytes, cut behind white space where there is some, else between characters.
std::vector<std::string_view> pieces_of(std::string_view text, size_t most_bytes);

}  // namespace lathe
