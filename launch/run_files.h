#pragma once

#include <string>

#include "launch/launched.h"
#include "recipes/run_config.h"
#include "trainer/config.h"

// What the verbs share that read a run's config.
namespace lathe {

struct RunRequest {
  RunConfig config;
  ResolvedConfig resolved;
  std::string fingerprint;  // of what decides the result; a run that differs in it can not be resumed
};

// Of a verb that needs no config file: where key=value stands in its place, it is one of the overrides, and the path "".
void file_or_override(std::string& path, std::vector<std::string>& overrides);

// Reads the config file ("" : none) and overrides with the defaults of its recipe; mistakes become Coded(kUsage).
// with_data: its data have to be there.
RunRequest read_run(const std::string& path, const std::vector<std::string>& overrides, bool with_data = true);

// The same of the config alone: neither model nor data have to be there. No fingerprint.
RunRequest read_run_config_alone(const std::string& path, const std::vector<std::string>& overrides);

// $XDG_CACHE_HOME/lathe, else ~/.cache/lathe.
std::string user_cache_dir();

// Where the user's Hugging Face cache lies, whether or not it is there.
std::string user_hub_folder();

}  // namespace lathe
