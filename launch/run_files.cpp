#include "launch/run_files.h"

#include <fmt/core.h>

#include <cstdlib>

#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "recipes/parts.h"
#include "recipes/recipe.h"
#include "trainer/hf_folder.h"

namespace lathe {
namespace {

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

void file_or_override(std::string& path, std::vector<std::string>& overrides) {
  if (path.find('=') == std::string::npos) return;
  overrides.insert(overrides.begin(), path);
  path.clear();
}

RunRequest read_run_config_alone(const std::string& path, const std::vector<std::string>& overrides) {
  RunRequest request;
  with_code(kUsage, [&] {
    const ConfigSource source{.path = path, .overrides = overrides};
    // Read twice: the recipe's name decides the defaults below everything else.
    RunConfig first;
    read_config(source, first);
    find_recipe(first.recipe).defaults(request.config);
    request.resolved = read_run_config(source, request.config);
    check_run(request.config, request.resolved, find_recipe(first.recipe).makes_its_data);
  });
  return request;
}

RunRequest read_run(const std::string& path, const std::vector<std::string>& overrides, bool with_data) {
  RunRequest request = read_run_config_alone(path, overrides);
  std::string& model = request.config.model.model_name_or_path;
  if (!model.empty()) model = resolve_model_folder(model, user_hub_folder());
  // Only launch/ knows where the user's models lie.
  std::string& teacher = request.config.distill.teacher_model_name_or_path;
  if (request.config.recipe == "distill" && !teacher.empty() && teacher != "self")
    teacher = resolve_model_folder(teacher, user_hub_folder());
  SelfRewardConfig& scoring = request.config.self_reward;
  if (request.config.recipe == "self_reward" || request.config.recipe == "synthesize") {
    for (std::string* folder :
         {&scoring.reward_model_name_or_path, &scoring.reference_name_or_path, &scoring.previous_name_or_path}) {
      if (!folder->empty()) *folder = resolve_model_folder(*folder, user_hub_folder());
    }
  }
  if (with_data) {
    for (std::string& note : resolve_sources(request.config.data)) request.resolved.notes.push_back(std::move(note));
    with_code(kUsage, [&] {
      curriculum_of(request.config);
      document_order_of(request.config);
    });
  }
  request.fingerprint = fingerprint(request.config);
  return request;
}

std::string user_cache_dir() {
  const std::string cache = env("XDG_CACHE_HOME");
  return (cache.empty() ? env("HOME") + "/.cache" : cache) + "/lathe";
}

std::string user_hub_folder() { return hub_cache_folder(env); }

}  // namespace lathe
