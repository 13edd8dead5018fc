#include "recipes/run_frame.h"

#include <algorithm>
#include <filesystem>

#include "recipes/report.h"
#include "recipes/run_record.h"
#include "trainer/hf_folder.h"

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

void record_chat_template(const RunConfig& config, const ChatFormat& format, const Datasets& train, Mesh& mesh) {
  if (mesh.world().rank() != 0) return;
  const bool chats = std::any_of(train.begin(), train.end(),
                                 [](const auto& dataset) { return !dataset->manifest().template_hash.empty(); });
  std::filesystem::remove(std::filesystem::path(config.output_dir) / "chat_template.jinja");  // of an earlier run
  if (chats) write_chat_template(config.output_dir, format.source_to_carry());
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
  std::string chat_template;
  if (mesh.world().rank() == 0) chat_template = read_chat_template(config.output_dir);
  trained.save(config.output_dir, tokenizer_folder, sharding, mesh);  // with the tokenizer's own
  if (mesh.world().rank() == 0) {
    write_chat_template(config.output_dir, chat_template);
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
