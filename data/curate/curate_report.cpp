#include "data/curate/curate_report.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

using nlohmann::ordered_json;

constexpr size_t kBins = 40, kMostSamples = 10'000;
constexpr int kExamples = 3;
constexpr size_t kExampleBytes = 400;

// Values of all signals of every k-th document, k doubling as documents grow: the same for any
// number of threads.
class Samples {
 public:
  explicit Samples(size_t signals) : values_(signals) {}

  void add(const double* signals) {
    if (count_++ % stride_ != 0) return;
    for (size_t s = 0; s < values_.size(); ++s)
      values_[s].push_back(static_cast<float>(signals[s]));
    if (values_[0].size() < kMostSamples) return;
    for (std::vector<float>& column : values_) {
      for (size_t i = 0; 2 * i < column.size(); ++i) column[i] = column[2 * i];
      column.resize((column.size() + 1) / 2);
    }
    stride_ *= 2;
  }

  CurateReport::Histogram histogram(size_t s) const {
    CurateReport::Histogram h;
    std::vector<float> values = values_[s];
    if (values.empty()) return h;
    // Outliers share the last bin.
    const auto most = values.begin() + static_cast<ptrdiff_t>(values.size() * 99 / 100);
    std::nth_element(values.begin(), most, values.end());
    h.low = *std::min_element(values.begin(), most + 1);
    h.high = *most;
    if (h.high <= h.low) h.high = h.low + 1;
    h.counts.assign(kBins, 0);
    for (const float value : values) {
      const double place = (value - h.low) / (h.high - h.low) * kBins;
      ++h.counts[static_cast<size_t>(std::clamp(place, 0.0, kBins - 1.0))];
    }
    return h;
  }

 private:
  std::vector<std::vector<float>> values_;
  int64_t count_ = 0, stride_ = 1;
};

std::vector<std::string> stages_of(const Rules& rules) {
  std::vector<std::string> stages{"read"};
  for (const Reason& reason : rules.reasons()) {
    if (!reason.stage.empty() &&
        std::find(stages.begin(), stages.end(), reason.stage) == stages.end())
      stages.push_back(reason.stage);
  }
  return stages;
}

struct Counter {
  int64_t documents = 0, bytes = 0, tokens = 0;
  double words = 0;
  void add(const SignalBlock& block, size_t i) {
    static const size_t kWords = signal_index("words");
    ++documents;
    bytes += block.bytes[i];
    tokens += block.tokens[i];
    words += block.signals[i * num_signals() + kWords];
  }
};

CurateReport::Stage stage_of(const std::string& name, const Counter& left) {
  return {name, left.documents, left.bytes, left.tokens, left.words};
}

void fill_funnel(CurateReport& report, const Rules& rules, const Counter& all,
                 const std::vector<Counter>& by_reason) {
  Counter left = all;
  report.funnel.push_back(stage_of("files", all));
  for (const std::string& stage : stages_of(rules)) {
    bool any = false;
    for (size_t r = 0; r < by_reason.size(); ++r) {
      if (rules.reasons()[r].stage != stage || by_reason[r].documents == 0) continue;
      left.documents -= by_reason[r].documents;
      left.bytes -= by_reason[r].bytes;
      left.tokens -= by_reason[r].tokens;
      left.words -= by_reason[r].words;
      any = true;
      const Reason& reason = rules.reasons()[r];
      report.dropped.push_back({reason.stage, reason.rule, reason.threshold, by_reason[r].documents,
                                by_reason[r].bytes});
      report.result.dropped_by[reason.rule] = by_reason[r].documents;
    }
    if (any) report.funnel.push_back(stage_of(stage, left));
  }
  report.result.read = all.documents;
  report.result.read_bytes = all.bytes;
  report.result.kept = left.documents;
  report.result.kept_bytes = left.bytes;
  report.result.dropped = all.documents - left.documents;
}

void fill_histograms(CurateReport& report, const CurateOptions& options, const Rules& rules,
                     const Samples& samples) {
  for (size_t s = 0; s < num_signals(); ++s) {
    CurateReport::Histogram h = samples.histogram(s);
    h.signal = signal_at(s).name;
    h.meaning = signal_at(s).meaning;
    for (const Reason& reason : rules.reasons()) {
      const bool used = std::any_of(
          options.sources.begin(), options.sources.end(), [&](const CurateSource& source) {
            return std::find(source.filters.begin(), source.filters.end(), reason.stage) !=
                   source.filters.end();
          });
      if (used && reason.signal == h.signal)
        h.thresholds.emplace_back(reason.rule, reason.threshold);
    }
    if (!h.counts.empty()) report.histograms.push_back(std::move(h));
  }
}

void fill_clusters(CurateReport& report, const Decisions& decisions) {
  std::vector<uint32_t> others(decisions.survivor.size());
  for (size_t d = 0; d < others.size(); ++d)
    others[decisions.survivor[d]] += decisions.survivor[d] != d;
  std::map<int64_t, int64_t> counts;
  for (const uint32_t count : others) {
    if (count > 0) ++counts[count + 1];
  }
  report.clusters.assign(counts.begin(), counts.end());
}

}  // namespace

void ExampleCollector::add(std::string_view line) {
  // The rule stands at the front of the line; nothing more is read of most.
  constexpr std::string_view kMark = "\"rule\": \"";
  const size_t at = line.find(kMark);
  if (at == line.npos) return;
  const std::string key(line.substr(at, line.find('"', at + kMark.size()) - at));
  if (counts_[key]++ >= kExamples) return;
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(line);
  const simdjson::dom::element object = parser.parse(padded);
  std::string_view found;
  std::string text;
  if (object["message"].get(found) == simdjson::SUCCESS) text = found;
  simdjson::dom::element record;
  if (object["record"].get(record) == simdjson::SUCCESS) {
    const bool is_text =
        record.get(found) == simdjson::SUCCESS || record["text"].get(found) == simdjson::SUCCESS;
    text = is_text ? std::string(found) : ordered_json::parse(simdjson::minify(record)).dump();
  }
  if (text.size() > kExampleBytes) {
    std::string cut;
    append_lossy(std::string_view(text).substr(0, kExampleBytes), false, cut);
    text = cut + " ...";
  }
  const std::string_view rule = object["rule"], id = object["curated"]["id"];
  examples_.push_back({std::string(rule), std::string(id), std::move(text)});
}

CurateReport make_report(const CurateOptions& options, const Rules& rules,
                         const Decisions& decisions, const ForEachBlock& for_each,
                         const Contamination* contamination) {
  constexpr const char* kTiers[] = {"gold", "silver", "synthetic"};
  CurateReport report;
  Counter all;
  std::vector<Counter> by_reason(rules.reasons().size());
  Samples samples(num_signals()), lengths(1);
  std::map<std::string, int64_t> tasks;
  std::map<std::string, double> source_words;
  const size_t words = signal_index("words"), pii = first_signal(filter_named("pii"));
  for_each([&](size_t b, const SignalBlock& block) {
    const CurateSource& source = options.sources[block.source];
    for (size_t i = 0; i < block.size(); ++i) {
      const double* signals = block.signals.data() + i * num_signals();
      const uint16_t reason = decisions.reasons[decisions.first[b] + i];
      all.add(block, i);
      by_reason[reason].add(block, i);
      if (reason == kUnreadable) continue;
      samples.add(signals);
      const double tokens = block.tokens[i];
      if (reason == kKept) lengths.add(&tokens);
      if (rules.reasons()[reason].stage == "contamination" && contamination &&
          block.findings[i].item >= 0)
        ++tasks[contamination->items()[static_cast<size_t>(block.findings[i].item)].task];
      for (const Signal& signal : filter_named("pii").signals) {
        const auto k = static_cast<size_t>(&signal - filter_named("pii").signals.data());
        if (signals[pii + k] > 0) report.pii[signal.name] += static_cast<int64_t>(signals[pii + k]);
      }
      if (!block.findings[i].language.empty()) ++report.languages[block.findings[i].language];
      if (reason != kKept) continue;
      ++report.tiers[kTiers[static_cast<size_t>(source.tier)]];
      ++report.sources[source.name];
      source_words[source.name] += signals[words];
    }
  });
  fill_funnel(report, rules, all, by_reason);
  report.has_tokens = !options.tokenizer.empty();
  CurateReport::Histogram h = lengths.histogram(0);
  if (report.has_tokens && !h.counts.empty()) {
    h.signal = "tokens";
    h.meaning = "length of what is kept, in tokens of its text";
    report.histograms.push_back(std::move(h));
  }
  fill_histograms(report, options, rules, samples);
  fill_clusters(report, decisions);
  std::vector<MixtureSource> kept;
  for (const CurateSource& source : options.sources) {
    MixtureSource& one = kept.emplace_back();
    one.name = source.name;
    one.tier = source.tier;
    one.words = source_words[source.name];
  }
  report.mixture = plan_mixture(options.mixture, std::move(kept));
  report.order_by = options.mixture.order_by;
  report.descending = options.mixture.descending;
  if (!options.mixture.stages.empty()) report.stage_starts.push_back(0);
  for (const MixtureStage& stage : options.mixture.stages)
    report.stage_starts.push_back(stage.start);
  for (size_t c = 0; c < decisions.cuts.size(); ++c) {
    report.cut_documents += c == 0 || decisions.cuts[c].document != decisions.cuts[c - 1].document;
    report.cut_bytes += decisions.cuts[c].end - decisions.cuts[c].begin;
  }
  report.bloom_bytes = decisions.bloom_bytes;
  report.bloom_false_positives = decisions.bloom_false_positives;
  for (const auto& [task, count] : tasks) report.contaminated.push_back({task, count});
  if (contamination) {
    report.evaluation_items = static_cast<int64_t>(contamination->items().size());
    report.items_too_short = contamination->num_too_short();
  }
  return report;
}

std::vector<OccupationCount> count_occupations(const Occupations& occupations,
                                               const Decisions& decisions,
                                               const ForEachBlock& for_each) {
  std::vector<OccupationCount> counts;
  for (size_t i = 0; i < occupations.names().size(); ++i)
    counts.push_back({occupations.names()[i], 0, 0, occupations.percent_female()[i]});
  for_each([&](size_t b, const SignalBlock& block) {
    for (size_t i = 0; i < block.size(); ++i) {
      if (decisions.reasons[decisions.first[b] + i] != kKept) continue;
      for (const uint64_t packed : block.occupations.at(i)) {
        const Occupations::Count count = Occupations::unpack(packed);
        counts[count.occupation].female += count.female;
        counts[count.occupation].male += count.male;
      }
    }
  });
  return counts;
}

std::string report_json(const CurateReport& r) {
  ordered_json object = {{"format", "lathe curation"},
                         {"version", 1},
                         {"key", r.key},
                         {"read", r.result.read},
                         {"kept", r.result.kept},
                         {"dropped", r.result.dropped},
                         {"read_bytes", r.result.read_bytes},
                         {"kept_bytes", r.result.kept_bytes},
                         {"dropped_by", r.result.dropped_by}};
  for (const auto& s : r.funnel) {
    object["funnel"].push_back(
        {{"behind", s.name}, {"documents", s.documents}, {"bytes", s.bytes}, {"words", s.words}});
    if (r.has_tokens) object["funnel"].back()["tokens"] = s.tokens;
  }
  for (const auto& d : r.dropped)
    object["rules"].push_back({{"stage", d.stage},
                               {"rule", d.rule},
                               {"threshold", d.threshold},
                               {"documents", d.documents},
                               {"bytes", d.bytes}});
  for (const auto& h : r.histograms) {
    ordered_json item = {
        {"signal", h.signal}, {"low", h.low}, {"high", h.high}, {"counts", h.counts}};
    for (const auto& [rule, threshold] : h.thresholds) item["thresholds"][rule] = threshold;
    object["histograms"].push_back(std::move(item));
  }
  for (const auto& e : r.examples)
    object["examples"].push_back({{"rule", e.rule}, {"id", e.origin}, {"text", e.text}});
  for (const auto& [size, sets] : r.clusters)
    object["clusters"].push_back({{"documents", size}, {"sets", sets}});
  for (const auto& c : r.contaminated)
    object["contaminated"].push_back({{"task", c.task}, {"documents", c.documents}});
  object["evaluation_items"] = r.evaluation_items;
  object["items_too_short"] = r.items_too_short;
  if (r.bloom_bytes > 0)
    object["bloom_filter"] = {{"bytes", r.bloom_bytes},
                              {"false_positive_rate", r.bloom_false_positives}};
  if (r.cut_documents > 0) object["cut"] = {{"documents", r.cut_documents}, {"bytes", r.cut_bytes}};
  const auto number = [](double value) {
    return std::isnan(value) ? ordered_json() : ordered_json(value);
  };
  for (const auto& o : r.occupations)
    object["occupations"]["counts"].push_back({{"occupation", o.occupation},
                                               {"female", o.female},
                                               {"male", o.male},
                                               {"found_percent", number(o.found_percent())},
                                               {"percent_female", o.percent_female}});
  if (!r.occupations.empty())
    object["occupations"]["correlation"] = number(correlation(r.occupations, kLeastSentences));
  if (r.quality) object["quality_classifier"] = ordered_json::parse(quality_json(*r.quality));
  object["languages"] = r.languages;
  object["tiers"] = r.tiers;
  object["pii"] = r.pii;
  object["sources"] = r.sources;
  return object.dump(1) + "\n";
}

std::optional<CurateResult> read_result(const std::string& text, const std::string& key) try {
  const ordered_json object = ordered_json::parse(text);
  if (object.at("key") != key) return std::nullopt;
  CurateResult result;
  result.read = object.at("read");
  result.kept = object.at("kept");
  result.dropped = object.at("dropped");
  result.read_bytes = object.at("read_bytes");
  result.kept_bytes = object.at("kept_bytes");
  result.dropped_by = object.at("dropped_by").get<std::map<std::string, int64_t>>();
  return result;
} catch (const nlohmann::json::exception&) {
  return std::nullopt;
}

}  // namespace lathe
