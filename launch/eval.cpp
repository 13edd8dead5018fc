// lathe eval --model DIR --task T.yaml [key=value ...]
#include "trainer/evaluate.h"

#include <fmt/core.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/model_arguments.h"
#include "launch/run_verb.h"
#include "trainer/generate/generation_config.h"

namespace lathe {
namespace {

using json = nlohmann::ordered_json;

json as_json(const TaskConfig& task, const std::string& model, const TaskResult& result) {
  json metrics = json::object();
  for (const MetricValue& metric : result.metrics) {
    metrics[metric.name] = {{"value", metric.value}};
    if (metric.standard_error >= 0) metrics[metric.name]["standard_error"] = metric.standard_error;
  }
  return {{"task", task.name},
          {"kind", task.kind},
          {"model", model},
          {"items", result.items},
          {"metrics", metrics}};
}

void print_table(const TaskConfig& task, const TaskResult& result) {
  fmt::print("{:<20} {:>8}  {:<18} {:>14}  {}\n", "task", "items", "metric", "value",
             "standard error");
  for (const MetricValue& metric : result.metrics) {
    const std::string error =
        metric.standard_error < 0 ? "" : fmt::format("{:.4f}", metric.standard_error);
    fmt::print("{:<20} {:>8}  {:<18} {:>14.6g}  {}\n", task.name, result.items, metric.name,
               metric.value, error);
  }
}

void write_lines(const std::string& path, const std::vector<std::string>& lines) {
  std::ofstream out(path);
  for (const std::string& line : lines) out << line << '\n';
  if (!out.flush()) throw Coded(kIoError, "can not write " + path);
}

}  // namespace

int eval_verb(int argc, char** argv) {
  ModelArguments model_arguments;
  std::string task_path, output, items;
  std::vector<std::string> overrides;
  Arguments arguments(
      "eval",
      "Measures a model on a task: a table and one line of JSON. configs/eval holds tasks.");
  model_arguments.add_to(arguments);
  arguments.option("--task", task_path, "the task's YAML file", true);
  arguments.positionals("overrides", overrides, "key=value: another value for a key of the task");
  arguments.option("--output", output, "write the results as JSON to this file too");
  arguments.option("--items", items, "write what each item gave to this file, as JSON lines");
  arguments.footer("\nkeys of a task:\n" + config_help<TaskConfig>());
  if (!arguments.parse(argc, argv)) return kDone;
  TaskConfig task;
  with_code(kUsage, [&] { read_config({.path = task_path, .overrides = overrides}, task); });
  const LoadedModel loaded = model_arguments.load();
  const TaskResult result = evaluate(*loaded.model, loaded.tokenizer(),
                                     stop_ids_of(loaded.folder, loaded.model->config()), task);
  print_table(task, result);
  const json summary = as_json(task, loaded.folder, result);
  fmt::print("{}\n", summary.dump());
  if (!output.empty()) write_lines(output, {summary.dump(2)});
  if (!items.empty()) write_lines(items, result.item_lines);
  return kDone;
}

}  // namespace lathe
