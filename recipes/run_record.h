#pragma once

#include <string>

#include "recipes/run_config.h"

// run.json of a run folder: what the run was made of, for those who come later (export, people).
namespace lathe {

struct RunRecord {
  std::string recipe;
  std::string model_folder, tokenizer_folder;  // absolute
  std::string tokenizer_hash;
  int64_t seed = 0;
  int ranks = 1;
};

void write_run_record(const std::string& output_dir, const RunRecord& record);
// std::invalid_argument when the folder has none or it is broken.
RunRecord read_run_record(const std::string& output_dir);

}  // namespace lathe
