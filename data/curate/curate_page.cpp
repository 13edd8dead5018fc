#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/curate/curate_report.h"

// report.html: one page without scripts, nothing loaded from outside.
namespace lathe {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string bar(double share, const std::string& text) {
  return fmt::format("<div class=bar><i style=\"width:{:.1f}%\"></i><span>{}</span></div>",
                     100 * share, text);
}

std::string funnel(const CurateReport& report) {
  std::string out =
      fmt::format("<h2>Funnel</h2><table><tr><th>behind<th>documents<th>bytes<th>{}<th></tr>",
                  report.has_tokens ? "tokens" : "words");
  const double all = std::max<double>(1, static_cast<double>(report.result.read));
  for (const auto& stage : report.funnel) {
    out += fmt::format(
        "<tr><td>{}<td>{}<td>{}<td>{:.0f}<td>{}</tr>", escaped(stage.name), stage.documents,
        stage.bytes, report.has_tokens ? static_cast<double>(stage.tokens) : stage.words,
        bar(static_cast<double>(stage.documents) / all,
            fmt::format("{:.1f} %", 100 * static_cast<double>(stage.documents) / all)));
  }
  return out + "</table>";
}

std::string dropped(const CurateReport& report) {
  std::string out =
      "<h2>Dropped, by "
      "rule</h2><table><tr><th>stage<th>rule<th>threshold<th>documents<th>examples</tr>";
  for (const auto& rule : report.dropped) {
    std::string examples;
    for (const auto& example : report.examples) {
      if (example.rule == rule.rule)
        examples += fmt::format("<details><summary>{}</summary><pre>{}</pre></details>",
                                escaped(example.origin), escaped(example.text));
    }
    out += fmt::format("<tr><td>{}<td>{}<td>{:g}<td>{}<td>{}</tr>", escaped(rule.stage),
                       escaped(rule.rule), rule.threshold, rule.documents, examples);
  }
  return out + "</table>";
}

std::string histogram(const CurateReport::Histogram& h) {
  constexpr double kWidth = 320, kHeight = 80;
  const auto most = static_cast<double>(
      std::max<int64_t>(1, *std::max_element(h.counts.begin(), h.counts.end())));
  const double step = kWidth / static_cast<double>(h.counts.size());
  std::string svg = fmt::format(
      "<figure><figcaption title=\"{}\">{}</figcaption><svg width={} height={} viewBox=\"0 0 {} "
      "{}\">",
      escaped(h.meaning), escaped(h.signal), kWidth, kHeight + 16, kWidth, kHeight + 16);
  for (size_t i = 0; i < h.counts.size(); ++i) {
    const double height = kHeight * static_cast<double>(h.counts[i]) / most;
    svg += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>",
                       static_cast<double>(i) * step, kHeight - height, step - 0.5, height);
  }
  for (const auto& [rule, threshold] : h.thresholds) {
    const double x = std::clamp((threshold - h.low) / (h.high - h.low), 0.0, 1.0) * kWidth;
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"0\" y2=\"{1}\"><title>{2}: {3:g}</title></line>",
        x, kHeight, escaped(rule), threshold);
  }
  return svg + fmt::format(
                   "<text x=\"0\" y=\"{0}\">{1:.4g}</text><text x=\"{2}\" y=\"{0}\" "
                   "text-anchor=\"end\">{3:.4g}</text></svg></figure>",
                   kHeight + 13, h.low, kWidth, h.high);
}

// A table for each stage of training, or one where there are none.
std::string mixture(const CurateReport& report) {
  std::string out = "<h2>Mixture</h2>";
  if (!report.order_by.empty())
    out += fmt::format("<p>Training takes documents by {}, those with the {} first.</p>",
                       escaped(report.order_by), report.descending ? "most" : "least");
  for (size_t stage = 0; stage < std::max<size_t>(report.stage_starts.size(), 1); ++stage) {
    if (!report.stage_starts.empty())
      out += fmt::format("<p>From {:g} on ({}):</p>", report.stage_starts[stage],
                         report.stage_starts[stage] < 1 ? "a share of all steps" : "a step");
    out += "<table><tr><th>source<th>words kept<th>taken per epoch<th>share</tr>";
    for (const MixtureSource& source : report.mixture) {
      const double weight = source.weights.empty() ? source.weight : source.weights[stage];
      const double share = source.shares.empty() ? source.share : source.shares[stage];
      out += fmt::format("<tr><td>{}<td>{:.0f}<td>{:.3g}<td>{}</tr>", escaped(source.name),
                         source.words, weight, bar(share, fmt::format("{:.1f} %", 100 * share)));
    }
    out += "</table>";
  }
  return out;
}

std::string occupations(const CurateReport& report) {
  if (report.occupations.empty()) return "";
  const double alike = correlation(report.occupations, kLeastSentences);
  std::string out = fmt::format(
      "<h2>Occupations</h2><p>Sentences of what is kept that name an occupation beside words of "
      "women or of men, and the share of women that statistics give. Correlation of both, over "
      "occupations with {} sentences: {}.</p><table><tr><th>occupation<th>with women<th>with "
      "men<th>women, found<th>women, statistics</tr>",
      kLeastSentences, std::isnan(alike) ? "there are too few" : fmt::format("{:.2f}", alike));
  for (const OccupationCount& o : report.occupations) {
    if (o.female + o.male == 0) continue;
    out += fmt::format(
        "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.1f} %</tr>", escaped(o.occupation), o.female, o.male,
        bar(o.found_percent() / 100, fmt::format("{:.1f} %", o.found_percent())), o.percent_female);
  }
  return out + "</table>";
}

std::string quality(const CurateReport& report) {
  if (!report.quality) return "";
  return fmt::format("<h2>Quality classifier</h2><pre>{}</pre>",
                     escaped(quality_table(*report.quality)));
}

std::string counts(const char* title, const std::map<std::string, int64_t>& values) {
  if (values.empty()) return "";
  std::string out = fmt::format("<h2>{}</h2><table>", title);
  for (const auto& [name, count] : values)
    out += fmt::format("<tr><td>{}<td>{}</tr>", escaped(name), count);
  return out + "</table>";
}

}  // namespace

std::string report_page(const CurateReport& report) {
  std::string page =
      "<!doctype html><meta charset=utf-8><title>Curation</title><style>body{font:14px "
      "sans-serif;margin:2em;max-width:1100px}"
      "table{border-collapse:collapse}td,th{padding:2px "
      "10px;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}"
      ".bar{position:relative;width:220px;background:#eee}.bar "
      "i{position:absolute;height:100%;background:#9bc}.bar "
      "span{position:relative;padding-left:4px}"
      "figure{display:inline-block;margin:8px}rect{fill:#69a}line{stroke:#c33;stroke-width:2}text{"
      "font-size:11px}pre{white-space:pre-wrap;max-width:600px}</style>";
  page += fmt::format("<h1>Curation</h1><p>{} documents read, {} kept, {} dropped.</p>",
                      report.result.read, report.result.kept, report.result.dropped);
  page += funnel(report) + dropped(report);
  if (!report.clusters.empty()) {
    page += "<h2>Duplicates</h2><table><tr><th>documents alike<th>sets</tr>";
    for (const auto& [size, sets] : report.clusters)
      page += fmt::format("<tr><td>{}<td>{}</tr>", size, sets);
    page += "</table>";
  }
  if (report.bloom_bytes > 0)
    page += fmt::format(
        "<p>Repeated paragraphs: a Bloom filter of {} bytes, which takes a new n-gram for an old "
        "one with at most {:.2g}.</p>",
        report.bloom_bytes, report.bloom_false_positives);
  if (report.cut_documents > 0)
    page += fmt::format(
        "<p>Repeated substrings: {} bytes were cut out of {} kept documents. Bytes and words above "
        "are those before.</p>",
        report.cut_bytes, report.cut_documents);
  if (report.evaluation_items > 0) {
    page += fmt::format(
        "<h2>Contamination</h2><p>{} evaluation items, {} of them too short for document "
        "n-grams.</p><table><tr><th>task<th>documents</tr>",
        report.evaluation_items, report.items_too_short);
    for (const auto& task : report.contaminated)
      page += fmt::format("<tr><td>{}<td>{}</tr>", escaped(task.task), task.documents);
    page += "</table>";
  }
  page += quality(report) + mixture(report);
  page += counts("Kept, by source", report.sources) + counts("Kept, by tier", report.tiers) +
          counts("Languages", report.languages) + counts("Personal data found", report.pii) +
          occupations(report);
  page +=
      "<h2>Signals</h2><p>All readable documents (tokens: those that are kept); red: thresholds of "
      "the rules in use.</p>";
  for (const auto& h : report.histograms) page += histogram(h);
  return page + "\n";
}

}  // namespace lathe
