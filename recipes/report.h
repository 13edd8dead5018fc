#pragma once

#include <string>
#include <utility>
#include <vector>

#include "recipes/metrics_log.h"

// What a run folder tells of its run: a page for one, a table and a page for several.
namespace lathe {

struct RunView {
  std::string folder;
  std::vector<LoggedRow> rows;
  std::string config, record, samples;  // config.yaml, run.json, samples.jsonl; "" if absent
  std::vector<std::pair<std::string, std::string>> settings;  // of config.yaml, by full key
};

// std::invalid_argument when there is no metrics.jsonl, or when it is broken: file:line.
RunView read_run_view(const std::string& folder);

// The cells of one run. What was not logged is "-".
struct RunSummary {
  std::string steps, final_loss, best_eval_loss, tokens_per_second, seconds;
};
RunSummary summarize(const RunView& run);

// Runs as lines, then the settings in which they differ.
std::string comparison_text(const std::vector<RunView>& runs);
// A page of its own: the same table, curves over one another, each run's config and record.
std::string report_html(const std::vector<RunView>& runs);

// report.html and loss.svg into the run folder.
void write_run_report(const std::string& folder);

}  // namespace lathe
