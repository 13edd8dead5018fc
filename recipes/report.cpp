#include "recipes/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "recipes/svg_plot.h"
#include "trainer/json_fields.h"

namespace lathe {
namespace {

constexpr uint64_t kMostBytes = 16 << 20;

std::string text_if_there(const std::string& path) {
  return std::filesystem::exists(path) ? read_text_file(path, kMostBytes) : "";
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(' '), last = text.find_last_not_of(" \r");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

// The dump that a run writes: sections, `key: value  # where from` below them, nothing deeper but
// lists, whose lines are added to their key.
std::vector<std::pair<std::string, std::string>> settings_of(const std::string& yaml) {
  std::vector<std::pair<std::string, std::string>> settings;
  std::string section;
  std::istringstream in(yaml);
  for (std::string line; std::getline(in, line);) {
    const size_t comment = line.find("  #");
    if (comment != std::string::npos) line.resize(comment);
    const size_t indent = line.find_first_not_of(' '), colon = line.find(':');
    if (indent == std::string::npos || line[indent] == '#') continue;
    if (indent > 2 || line[indent] == '-' || colon == std::string::npos) {
      if (!settings.empty()) settings.back().second.append(" ").append(trimmed(line));
      continue;
    }
    const std::string name = trimmed(line.substr(0, colon)),
                      value = trimmed(line.substr(colon + 1));
    if (indent == 0) section = name;
    settings.emplace_back(indent == 0 ? name : section + "." + name, value);
  }
  return settings;
}

std::string shortest(double value) { return fmt::format("{}", value); }

std::string last_of(const Curve& curve) {
  return curve.values.empty() ? "-" : shortest(curve.values.back());
}

// Of all steps: each line's rate holds for the steps since the line before.
double mean_rate(const Curve& rate, const Curve& tokens) {
  double seconds = 0, before = 0;
  for (size_t i = 0; i < rate.values.size() && i < tokens.values.size(); ++i) {
    seconds += (tokens.values[i] - before) / rate.values[i];
    before = tokens.values[i];
  }
  return before / seconds;
}

std::vector<std::vector<std::string>> table_of(const std::vector<RunView>& runs) {
  std::vector<std::vector<std::string>> table = {
      {"run", "steps", "final loss", "best eval loss", "tokens/s", "seconds"}};
  for (const RunView& run : runs) {
    const RunSummary summary = summarize(run);
    table.push_back({run.folder, summary.steps, summary.final_loss, summary.best_eval_loss,
                     summary.tokens_per_second, summary.seconds});
  }
  return table;
}

// A line per key whose values are not all the same; output_dir always differs and says nothing.
std::vector<std::vector<std::string>> differences_of(const std::vector<RunView>& runs) {
  std::set<std::string> keys;
  std::vector<std::map<std::string, std::string>> values;
  for (const RunView& run : runs) {
    values.emplace_back(run.settings.begin(), run.settings.end());
    for (const auto& [key, unused] : run.settings) keys.insert(key);
  }
  keys.erase("output_dir");
  std::vector<std::vector<std::string>> table;
  for (const std::string& key : keys) {
    std::vector<std::string> line = {key};
    for (const auto& of_run : values) line.push_back(of_run.contains(key) ? of_run.at(key) : "-");
    if (std::any_of(line.begin() + 1, line.end(), [&](const auto& v) { return v != line[1]; })) {
      table.push_back(std::move(line));
    }
  }
  return table;
}

std::string aligned(const std::vector<std::vector<std::string>>& table) {
  std::vector<size_t> widths;
  for (const auto& line : table) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string out;
  for (const auto& line : table) {
    for (size_t i = 0; i + 1 < line.size(); ++i) out += fmt::format("{:<{}}  ", line[i], widths[i]);
    out += line.back() + "\n";
  }
  return out;
}

std::string html_table(const std::vector<std::vector<std::string>>& table) {
  std::string out = "<table>\n";
  for (const auto& line : table) {
    out += "<tr>";
    for (const std::string& cell : line) out += "<td>" + xml_escaped(cell) + "</td>";
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

std::string plot(const std::string& title, const std::vector<RunView>& runs,
                 const std::vector<std::string>& names) {
  std::vector<NamedCurve> curves;
  for (const RunView& run : runs) {
    for (const std::string& name : names) {
      Curve curve = curve_of(run.rows, name);
      if (curve.values.empty()) continue;
      curves.push_back({runs.size() == 1 ? name : run.folder + " " + name, std::move(curve)});
    }
  }
  return svg_plot(title, curves);
}

std::string loss_plot(const std::vector<RunView>& runs) {
  return plot("loss", runs, {"loss", "eval_loss"});
}

void write(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  if (!out.flush()) throw std::runtime_error("can not write " + path);
}

}  // namespace

RunView read_run_view(const std::string& folder) {
  RunView run{.folder = folder,
              .rows = read_metrics_log(folder + "/metrics.jsonl"),
              .config = text_if_there(folder + "/config.yaml"),
              .record = text_if_there(folder + "/run.json"),
            .samples = text_if_there(folder + "/samples.jsonl"),
              .settings = {}};
  run.settings = settings_of(run.config);
  return run;
}

RunSummary summarize(const RunView& run) {
  const Curve eval = curve_of(run.rows, "eval_loss");
  const Curve rate = curve_of(run.rows, "tokens_per_second");
  double best = std::numeric_limits<double>::infinity();
  for (const double value : eval.values) best = value < best ? value : best;
  RunSummary summary;
  summary.steps = run.rows.empty() ? "-" : std::to_string(run.rows.back().step);
  summary.final_loss = last_of(curve_of(run.rows, "loss"));
  summary.best_eval_loss = std::isfinite(best) ? shortest(best) : "-";
  summary.tokens_per_second =
      rate.values.empty()
          ? "-"
          : fmt::format("{:.1f}", mean_rate(rate, curve_of(run.rows, "num_tokens")));
  summary.seconds = last_of(curve_of(run.rows, "train_runtime"));
  return summary;
}

std::string comparison_text(const std::vector<RunView>& runs) {
  std::string text = aligned(table_of(runs));
  const auto differences = differences_of(runs);
  if (!differences.empty()) text += "\nsettings that differ\n" + aligned(differences);
  return text;
}

std::string report_html(const std::vector<RunView>& runs) {
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>lathe report</title>"
      "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
      "td{padding:.1em .8em .1em 0}pre{border:1px solid #ccc;padding:.6em;overflow:auto}"
      "</style></head><body>\n";
  page += html_table(table_of(runs));
  const auto differences = differences_of(runs);
  if (!differences.empty()) page += "<h2>Settings that differ</h2>\n" + html_table(differences);
  page += loss_plot(runs);
  for (const auto& [title, name] :
       {std::pair{"learning rate", "learning_rate"}, std::pair{"gradient norm", "grad_norm"},
        std::pair{"tokens per second", "tokens_per_second"}, std::pair{"memory, GiB", "memory_gib"}}) {
    page += plot(title, runs, {name});
  }
  for (const RunView& run : runs) {
    page += "<h2>" + xml_escaped(run.folder) + "</h2>\n<pre>" + xml_escaped(run.record) +
            "</pre>\n<pre>" + xml_escaped(run.config) + "</pre>\n";
    if (!run.samples.empty()) page += "<h3>What it said</h3>\n<pre>" + xml_escaped(run.samples) + "</pre>\n";
  }
  return page + "</body></html>\n";
}

void write_run_report(const std::string& folder) {
  const std::vector<RunView> runs = {read_run_view(folder)};
  write(folder + "/report.html", report_html(runs));
  write(folder + "/loss.svg", loss_plot(runs));
}

}  // namespace lathe
