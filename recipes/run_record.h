#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "recipes/run_config.h"

// run.json of a run folder: what the run was made of, for those who come later (export, people).
namespace lathe {

struct RunRecord {
  std::string recipe;
  std::string model_folder, tokenizer_folder;  // absolute
  std::string tokenizer_hash;
  int64_t seed = 0;
  int ranks = 1;
  // For people; export does not read these.
  std::string config_hash;
  struct Data {
    std::string path;
    int64_t documents = 0, tokens = 0;
    std::string hash;  // over its shards' hashes
  };
  std::vector<Data> data = {};
};

// This machine's; "?" where it has none.
std::string host_name();

// xxh64 of the file that this program's code lies in, 16 hex digits; "" where it can not be read.
std::string program_hash();

// Adds what this program and machine are: versions, the program's own hash, host, threads, time.
void write_run_record(const std::string& output_dir, const RunRecord& record);
// Adds what the run came to: tokens, seconds, and its cost at price_per_hour where that is not 0.
void finish_run_record(const std::string& output_dir, double price_per_hour);
// std::invalid_argument when the folder has none or it is broken.
RunRecord read_run_record(const std::string& output_dir);

}  // namespace lathe
