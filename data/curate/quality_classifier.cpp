#include "data/curate/quality_classifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <stdexcept>

#include "data/curate/characters.h"
#include "data/curate/quality_report.h"
#include "data/curate/text_files.h"
#include "data/loader/order.h"
#include "data/shards/file.h"
#include "data/shards/hash.h"

namespace lathe {
namespace {

constexpr size_t kPieceBytes = 4096;
constexpr const char *kGood = "hq", *kBad = "cc";  // DCLM's labels

struct Example {
  uint64_t hash = 0;
  bool good = false;
  std::string text;
};

bool is_blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return byte_bits(c) & kSpaceBit; });
}

void add_examples(const std::vector<std::string>& files, bool good, int64_t most, int threads,
                  std::vector<Example>& examples) {
  std::map<uint64_t, std::string> chosen;
  for_each_text_of(files, threads, [&](std::string_view text) {
    for (const std::string_view piece : pieces_of(text, kPieceBytes)) {
      if (is_blank(piece)) continue;
      const uint64_t hash = hash_bytes(piece);
      if (std::ssize(chosen) == most && hash >= chosen.rbegin()->first) continue;
      chosen.try_emplace(hash, piece);
      if (std::ssize(chosen) > most) chosen.erase(std::prev(chosen.end()));
    }
  });
  for (auto& [hash, text] : chosen) examples.push_back({hash, good, std::move(text)});
}

bool is_held_out(const Example& example, double share) {
  constexpr double kAll = 18446744073709551616.0;
  return static_cast<double>(mix_bits(example.hash)) < share * kAll;
}

void check(const QualityReport& report, const QualityOptions& options) {
  const auto refuse_empty = [&](int64_t count, const char* side,
                                const std::vector<std::string>& files) {
    if (count > 0) return;
    throw std::invalid_argument(fmt::format(
        "quality_classifier.{}: {} file(s) give no example to train on; expected texts", side, files.size()));
  };
  refuse_empty(report.trained_positives, "positives", options.positives);
  refuse_empty(report.trained_negatives, "negatives", options.negatives);
}

}  // namespace

std::vector<std::string_view> pieces_of(std::string_view text, size_t most_bytes) {
  std::vector<std::string_view> pieces;
  while (text.size() > most_bytes) {
    size_t cut = most_bytes;
    while (cut > 0 && !(byte_bits(text[cut - 1]) & kSpaceBit)) --cut;
    if (cut == 0) {
      cut = most_bytes;
      while (cut > 1 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
    }
    pieces.push_back(text.substr(0, cut));
    text.remove_prefix(cut);
  }
  if (!text.empty()) pieces.push_back(text);
  return pieces;
}

std::vector<QualityReport::Row> precision_and_recall(const std::vector<double>& scores,
                                                     const std::vector<bool>& good,
                                                     const std::vector<double>& thresholds) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<QualityReport::Row> rows;
  for (const double threshold : thresholds) {
    double found = 0, right = 0, all = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      const bool taken = scores[i] >= threshold;
      found += taken;
      right += taken && good[i];
      all += good[i];
    }
    rows.push_back({threshold, found > 0 ? right / found : kNone, all > 0 ? right / all : kNone,
                    found + all > 0 ? 2 * right / (found + all) : kNone});
  }
  return rows;
}

QualityReport train_quality_classifier(const QualityOptions& options, int threads,
                                       const std::string& key, const std::string& folder) {
  const std::string model = folder + "/model.bin";
  if (const auto made = find_quality_report(folder, key)) return *made;
  std::filesystem::create_directories(folder);
  std::filesystem::remove(quality_report_path(folder));
  std::vector<Example> examples;
  add_examples(options.positives, true, options.most_examples, threads, examples);
  add_examples(options.negatives, false, options.most_examples, threads, examples);
  std::sort(examples.begin(), examples.end(), [](const Example& a, const Example& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.good < b.good;
  });
  QualityReport report;
  std::vector<LabelledText> trained;
  std::vector<std::string> held_out;
  std::vector<bool> good;
  for (Example& example : examples) {
    if (is_held_out(example, options.held_out)) {
      ++(example.good ? report.held_out_positives : report.held_out_negatives);
      good.push_back(example.good);
      held_out.push_back(std::move(example.text));
    } else {
      ++(example.good ? report.trained_positives : report.trained_negatives);
      trained.push_back({example.good ? kGood : kBad, std::move(example.text)});
    }
  }
  check(report, options);
  train_classifier(trained, options.training, model);
  const TextClassifier classifier(model);
  std::vector<double> scores;
  for (const std::string& text : held_out) scores.push_back(classifier.probability(text, kGood));
  if (!scores.empty())
    report.rows = precision_and_recall(
        scores, good, {0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99});
  write_quality_report(folder, key, report);
  return report;
}

}  // namespace lathe
