#include "recipes/run_record.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace lathe {
namespace {

using nlohmann::json;

std::string path_of(const std::string& output_dir) { return output_dir + "/run.json"; }

}  // namespace

void write_run_record(const std::string& output_dir, const RunRecord& record) {
  const json value = {{"recipe", record.recipe},
                      {"model_folder", std::filesystem::absolute(record.model_folder).string()},
                      {"tokenizer_folder", std::filesystem::absolute(record.tokenizer_folder).string()},
                      {"tokenizer_hash", record.tokenizer_hash},
                      {"seed", record.seed},
                      {"ranks", record.ranks}};
  std::ofstream out(path_of(output_dir));
  out << value.dump(2) << '\n';
  if (!out.flush()) throw std::runtime_error("can not write " + path_of(output_dir));
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
            .ranks = value.at("ranks")};
  } catch (const json::exception& error) {
    throw std::invalid_argument(path_of(output_dir) + ": " + error.what());
  }
}

}  // namespace lathe
