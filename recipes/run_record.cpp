#include "recipes/run_record.h"

#include <dlfcn.h>
#include <fmt/chrono.h>
#include <torch/version.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "recipes/metrics_log.h"

namespace lathe {
namespace {

using nlohmann::json;

std::string path_of(const std::string& output_dir) { return output_dir + "/run.json"; }

std::string now() { return fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr))); }

void write(const std::string& output_dir, const json& value) {
  std::ofstream out(path_of(output_dir));
  out << value.dump(2) << '\n';
  if (!out.flush()) throw std::runtime_error("can not write " + path_of(output_dir));
}

}  // namespace

std::string host_name() {
  char name[256] = "?";
  gethostname(name, sizeof name - 1);
  return name;
}

std::string program_hash() {
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&read_run_record), &info) == 0) return "";
  try {
    const ReadFile program(info.dli_fname);
    return hex16(program.hash(0, program.bytes()));
  } catch (const std::exception&) {  // started by a name that is no path from here
    return "";
  }
}

void write_run_record(const std::string& output_dir, const RunRecord& record) {
  json data = json::array();
  for (const RunRecord::Data& each : record.data) {
    data.push_back({{"path", each.path}, {"documents", each.documents}, {"tokens", each.tokens}, {"hash", each.hash}});
  }
  write(output_dir, {{"recipe", record.recipe},
                     {"model_folder", std::filesystem::absolute(record.model_folder).string()},
                     {"tokenizer_folder", std::filesystem::absolute(record.tokenizer_folder).string()},
                     {"tokenizer_hash", record.tokenizer_hash},
                     {"seed", record.seed},
                     {"ranks", record.ranks},
                     {"config_hash", record.config_hash},
                     {"data", data},
                     {"versions", {{"lathe", LATHE_VERSION}, {"libtorch", TORCH_VERSION}, {"compiler", __VERSION__}}},
                     {"program_hash", program_hash()},
                     {"host", host_name()},
                     {"started", now()}});
}

void finish_run_record(const std::string& output_dir, double price_per_hour) {
  std::ifstream in(path_of(output_dir));
  json value = json::parse(in);
  const std::vector<LoggedRow> rows = read_metrics_log(output_dir + "/metrics.jsonl");
  const auto last = [&](const char* name) {
    const Curve curve = curve_of(rows, name);
    return curve.values.empty() ? 0.0 : curve.values.back();
  };
  value["finished"] = now();
  value["num_tokens"] = static_cast<int64_t>(last("num_tokens"));
  value["train_runtime"] = last("train_runtime");
  if (price_per_hour > 0) value["estimated_cost"] = price_per_hour * last("train_runtime") / 3600;
  write(output_dir, value);
}

RunRecord read_run_record(const std::string& output_dir) {
  std::ifstream in(path_of(output_dir));
  if (!in) throw std::invalid_argument(path_of(output_dir) + " is not there; a checkpoint lies in the run folder that made it");
  try {
    const json value = json::parse(in);
    return {.recipe = value.at("recipe"),
            .model_folder = value.at("model_folder"),
            .tokenizer_folder = value.at("tokenizer_folder"),
            .tokenizer_hash = value.at("tokenizer_hash"),
            .seed = value.at("seed"),
            .ranks = value.at("ranks"),
            .config_hash = value.value("config_hash", "")};
  } catch (const json::exception& error) {
    throw std::invalid_argument(path_of(output_dir) + ": " + error.what());
  }
}

}  // namespace lathe
