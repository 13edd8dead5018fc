// SFT of a tiny chat model from scratch on a generated domain, with the exact match on held-out questions before and after.
#include <filesystem>

#include "recipes/language_model.h"
#include "recipes/timetable.h"

namespace lathe {

void quickstart_defaults(RunConfig& config) { config.model.from_scratch = true; }

int run_quickstart(RunContext run) {
  const QuickstartConfig& c = run.config.quickstart;
  const std::string folder = run.config.output_dir + "/timetable";
  if (run.world->rank() == 0)
    write_timetable(folder, static_cast<uint64_t>(run.config.seed), c.num_train, c.num_held_out);
  run.world->barrier();
  run.config.model.model_name_or_path = folder + "/model";
  run.config.data.train = {{.path = folder + "/train.jsonl"}};
  run.config.data.eval = {{.path = folder + "/held_out.jsonl"}};
  // Ranks generate answers of different lengths, which zero 3 has no room for.
  if (run.config.parallel.zero < 3) run.config.data.exact_match = folder + "/held_out.jsonl";
  return train_language_model(std::move(run));
}

}  // namespace lathe
