#include "recipes/run_frame.h"

#include "recipes/report.h"
#include "recipes/run_record.h"

namespace lathe {

void record_run(const RunConfig& config, const std::string& tokenizer_folder, const Tokenizer& tokenizer, Mesh& mesh) {
  if (mesh.world().rank() != 0) return;
  write_run_record(config.output_dir, {.recipe = config.recipe,
                                       .model_folder = config.model.model_name_or_path,
                                       .tokenizer_folder = tokenizer_folder,
                                       .tokenizer_hash = tokenizer.hash(),
                                       .seed = config.seed,
                                       .ranks = mesh.world().size()});
}

Trainer::Options trainer_options(const RunContext& run) {
  const RunConfig& config = run.config;
  return {.train = config.train,
          .schedule = config.schedule,
          .learning_rate = config.optimizer.learning_rate,
          .max_grad_norm = config.optimizer.max_grad_norm,
          .seed = static_cast<uint64_t>(config.seed),
          .neftune_noise_alpha = config.train.neftune_noise_alpha,
          .output_dir = config.output_dir,
          .fingerprint = run.fingerprint,
          .config = run.fingerprint,
          .stop_requested = &run.stop_requested};
}

void finish_run(const RunConfig& config, TrainedModel& trained, const std::string& tokenizer_folder, Sharding& sharding,
                Mesh& mesh, Metrics& metrics) {
  trained.save(config.output_dir, tokenizer_folder, sharding, mesh);
  if (mesh.world().rank() == 0) {
    metrics.note("model written to " + config.output_dir);
    try {
      write_run_report(config.output_dir);
    } catch (const std::exception& error) {  // the model is safe; a page is not worth a failed run
      metrics.note(std::string("no report: ") + error.what());
    }
  }
  mesh.world().barrier();
}

}  // namespace lathe
