#include "recipes/run_frame.h"

#include <algorithm>
#include <filesystem>

#include "data/shards/hash.h"
#include "recipes/report.h"
#include "recipes/run_record.h"
#include "recipes/run_words.h"
#include "trainer/agree.h"
#include "trainer/gemm_share.h"
#include "trainer/hf_folder.h"

namespace lathe {

RunData::RunData(const RunContext& run, Mesh& mesh, Metrics& metrics)
    : tokenizer_path(tokenizer_folder(run.config.model)), tokenizer(tokenizer_path) {
  const auto open = [&](const std::vector<DataSource>& sources) {
    return open_datasets(run.config, sources, tokenizer, run.cache_dir, mesh, metrics, &run.stop_requested);
  };
  train = open(run.config.data.train);
  eval = open(run.config.data.eval);
}

RunLoaders open_loaders(const RunConfig& config, const RunData& data, Mesh& mesh,
                        const std::function<LoaderOptions(LoaderOptions)>& change) {
  const auto changed = [&](LoaderOptions options) { return change ? change(std::move(options)) : options; };
  return {.train = Loader(data.train, source_weights(config.data.train), changed(loader_options(config, mesh))),
          .eval = data.eval.empty() ? nullptr
                                    : std::make_unique<Loader>(data.eval, source_weights(config.data.eval),
                                                               changed(eval_loader_options(config, mesh)))};
}

bool train_to_end(Trainer& trainer, Optimizer& optimizer, Sharding& sharding, Metrics& metrics,
                  const std::function<ExactMatch()>& ask) {
  const ExactMatch before = ask ? ask() : ExactMatch{};
  if (trainer.run() == Trainer::End::kStopped) return false;
  if (optimizer.use_average()) sharding.gather_parameters();
  if (ask) say_match(before, ask(), metrics);
  return true;
}

void record_run(const RunContext& run, const std::string& tokenizer_folder, const Tokenizer& tokenizer,
                const Datasets& train, Mesh& mesh) {
  if (mesh.world().rank() != 0) return;
  const RunConfig& config = run.config;
  RunRecord record{.recipe = config.recipe,
                   .model_folder = config.model.model_name_or_path,
                   .tokenizer_folder = tokenizer_folder,
                   .tokenizer_hash = tokenizer.hash(),
                   .seed = config.seed,
                   .ranks = mesh.world().size(),
                   .config_hash = hex16(hash_bytes(run.fingerprint))};
  for (size_t i = 0; i < train.size(); ++i) {
    RunRecord::Data data{.path = config.data.train[i].path, .documents = train[i]->documents()};
    Hasher hasher;
    for (const ShardEntry& shard : train[i]->manifest().shards) {
      data.tokens += shard.tokens;
      hasher.add(hex16(shard.hash));
    }
    data.hash = hex16(hasher.digest());
    record.data.push_back(std::move(data));
  }
  write_run_record(config.output_dir, record);
}

void record_chat_template(const RunConfig& config, const ChatFormat& format, const Datasets& train, Mesh& mesh) {
  if (mesh.world().rank() != 0) return;
  const bool chats = std::any_of(train.begin(), train.end(),
                                 [](const auto& dataset) { return !dataset->manifest().template_hash.empty(); });
  std::filesystem::remove(std::filesystem::path(config.output_dir) / "chat_template.jinja");  // of an earlier run
  if (chats) write_chat_template(config.output_dir, format.source_to_carry());
}

Trainer::Options trainer_options(const RunContext& run, Model& model, Mesh& mesh) {
  const RunConfig& config = run.config;
  const at::ScalarType dtype = model.parameters().front()->value.scalar_type();
  const auto gemm = static_cast<int64_t>(measure_gemm_flops(dtype, mesh.device()));
  return {.train = config.train,
          .schedule = config.schedule,
          .learning_rate = config.optimizer.learning_rate,
          .max_grad_norm = config.optimizer.max_grad_norm,
          .seed = static_cast<uint64_t>(config.seed),
          .neftune_noise_alpha = config.train.neftune_noise_alpha,
          .output_dir = config.output_dir,
          .fingerprint = run.fingerprint,
          .config = run.fingerprint,
          .settings = free_settings(config),
          .stop_requested = &run.stop_requested,
          .log = run.log,
          .flops_per_token = flops_per_token(model),
          .gemm_flops = static_cast<double>(sum_over(mesh.world(), {gemm}).at(0))};
}

void finish_run(const RunConfig& config, TrainedModel& trained, const std::string& tokenizer_folder, Sharding& sharding,
                Mesh& mesh, Metrics& metrics) {
  std::string chat_template;
  if (mesh.world().rank() == 0) chat_template = read_chat_template(config.output_dir);
  trained.save(config.output_dir, tokenizer_folder, sharding, mesh);  // with the tokenizer's own
  if (mesh.world().rank() == 0) {
    write_chat_template(config.output_dir, chat_template);
    finish_run_record(config.output_dir, config.train.price_per_hour);
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
