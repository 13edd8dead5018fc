#include "trainer/progress.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace lathe {
namespace {

using nlohmann::json;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

json to_json(const LossMean& mean) { return {{"sum", mean.sum}, {"steps", mean.steps}}; }
json to_json(const LoaderState& place) {
  json value = {{"epoch", place.epoch}, {"row", place.row}};
  if (place.stages != 0) value["stages"] = place.stages;
  return value;
}
LoaderState place_of(const json& value) {
  return {.epoch = value.at("epoch").get<int64_t>(),
          .row = value.at("row").get<int64_t>(),
          .stages = value.value("stages", uint64_t{0})};
}
LossMean mean_of(const json& value) {
  return {.sum = value.at("sum").get<double>(), .steps = value.at("steps").get<int64_t>()};
}

}  // namespace

double LossMean::value() const {
  return steps > 0 ? sum / static_cast<double>(steps) : std::numeric_limits<double>::quiet_NaN();
}

std::string dump_progress(const Progress& progress, const std::string& fingerprint,
                          const std::string& config, const std::string& settings) {
  return json{{"step", progress.step},
              {"updates", progress.updates},
              {"num_tokens", progress.num_tokens},
              {"skipped_in_a_row", progress.skipped_in_a_row},
              {"run_loss", to_json(progress.run)},
              {"logged_loss", to_json(progress.since_log)},
              {"data", to_json(progress.data)},
              {"bad_data", to_json(progress.bad_data)},
              {"rewinds", progress.rewinds},
              {"evaluation_is_due", progress.evaluation_is_due},
              {"best_step", progress.best_step},
              {"best_metric", progress.best_metric},
              {"fingerprint", fingerprint},
              {"config", config},
              {"settings", settings}}
      .dump();
}

std::string changed_settings(const std::string& state, const std::string& settings) {
  const json value = json::parse(state, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object() || !value.contains("settings") || !value["settings"].is_string()) return "";
  return line_diff(value["settings"].get<std::string>(), settings);
}

Progress parse_progress(const std::string& state, const std::string& fingerprint,
                        const std::string& config, const std::string& where) {
  try {
    const json value = json::parse(state);
    if (value.at("fingerprint") != fingerprint) {
      throw std::invalid_argument(
          where + " belongs to another configuration, which can not be continued with this one:\n" +
          line_diff(value.at("config").get<std::string>(), config) +
          "restore those lines, choose another output_dir, or set resume_from_checkpoint=never");
    }
    return {.step = value.at("step").get<int64_t>(),
            .updates = value.at("updates").get<int64_t>(),
            .num_tokens = value.at("num_tokens").get<int64_t>(),
            .skipped_in_a_row = value.at("skipped_in_a_row").get<int64_t>(),
            .run = mean_of(value.at("run_loss")),
            .since_log = mean_of(value.at("logged_loss")),
            .data = place_of(value.at("data")),
            .last_data = {},
            .bad_data = value.contains("bad_data") ? place_of(value.at("bad_data")) : LoaderState{},
            .rewinds = value.value("rewinds", int64_t{0}),
            .evaluation_is_due = value.value("evaluation_is_due", false),
            .best_step = value.value("best_step", int64_t{0}),
            .best_metric = value.value("best_metric", 0.0)};
  } catch (const json::exception& error) {
    throw std::runtime_error(where + " has a state that is not a training run's: " + error.what());
  }
}

std::string line_diff(const std::string& old_text, const std::string& new_text) {
  const std::vector<std::string> a = lines_of(old_text), b = lines_of(new_text);
  // common[i][j]: the most lines that a from i on and b from j on have in common, in order.
  std::vector<std::vector<int>> common(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] =
          a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string diff;
  for (size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      ++i, ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      diff += "- " + a[i++] + "\n";
    } else {
      diff += "+ " + b[j++] + "\n";
    }
  }
  return diff;
}

}  // namespace lathe
