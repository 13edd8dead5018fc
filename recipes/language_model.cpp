#include "recipes/language_model.h"

#include <fmt/core.h>

#include "data/tokenize/token_view.h"
#include "recipes/exact_match.h"
#include "recipes/parts.h"
#include "recipes/run_frame.h"
#include "recipes/samples.h"
#include "recipes/trained_model.h"
#include "trainer/trainer.h"

namespace lathe {
namespace {

int64_t count_parameters(Model& model) {
  int64_t count = 0;
  for (const Parameter* parameter : model.parameters()) count += parameter->value.numel();
  return count;
}

const char* dtype_name(at::ScalarType dtype) { return dtype == at::kBFloat16 ? "bf16" : "fp32"; }

void say_start(const RunConfig& config, Model& model, const Loader& loader, Mesh& mesh, Metrics& metrics) {
  const PackingReport report = loader.report();
  metrics.note(fmt::format("model: {} with {:.2f} M parameters in {}, {} ranks (dp {}, tp {}, zero {})",
                           model.config().model_type, count_parameters(model) / 1e6,
                           dtype_name(model.parameters().front()->value.scalar_type()), mesh.world().size(),
                           mesh.dp().size(), mesh.tp().size(), config.parallel.zero));
  metrics.note(fmt::format("data: {} documents, {} tokens ({} trained) in {} rows of {} ({:.2f} % waste), {} steps an epoch",
                           report.documents, report.tokens, report.targets, report.rows, config.data.max_length,
                           100 * report.waste, loader.steps_per_epoch()));
}

// What is trained, for the eye.
void say_first_example(const Datasets& train, const Tokenizer& tokenizer, Metrics& metrics) {
  constexpr size_t kMostTokens = 120;
  for (const auto& dataset : train) {
    if (dataset->documents() == 0) continue;
    const Dataset::Place place = dataset->place(0);
    std::vector<int64_t> ids(static_cast<size_t>(dataset->length(0)));
    std::vector<uint8_t> mask(ids.size());
    const auto begin = static_cast<int64_t>(place.shard->offsets()[static_cast<size_t>(place.document)]);
    place.shard->read("sequence", begin, begin + static_cast<int64_t>(ids.size()), ids.data(), mask.data());
    metrics.note("first example, trained between \u00ab and \u00bb: " +
                 marked_text(tokenizer, ids, mask, "\u00ab", "\u00bb", kMostTokens));
    return;
  }
}

// Conversations in the data: will the model stop where its turns end?
void say_end_of_turn(const ChatFormat& format, const Datasets& train, const Tokenizer& tokenizer, Model& model, Metrics& metrics) {
  const bool chats = std::any_of(train.begin(), train.end(), [](const auto& d) { return !d->manifest().template_hash.empty(); });
  const std::string note = chats ? end_of_turn_note(format, tokenizer, model.config().eos_token_id) : "";
  if (!note.empty()) metrics.note(note);
}

void say_match(const ExactMatch& before, const ExactMatch& after, Metrics& metrics) {
  for (const AnswerSample& sample : after.samples) {
    metrics.note(fmt::format("  question  {}\n  answer    {}\n  expected  {}\n", sample.question, sample.answer, sample.expected));
  }
  metrics.note(fmt::format("exact match: {:.1f} % before, {:.1f} % after ({} held-out questions)", before.percent(),
                           after.percent(), after.total));
}

}  // namespace

int train_language_model(RunContext run) {
  const RunConfig& config = run.config;
  Mesh mesh(std::move(run.world), mesh_shape(config.parallel));
  Metrics metrics(mesh.world().rank() == 0 ? config.output_dir : "", run.console);

  const std::string tokenizer_path = tokenizer_folder(config.model);
  const Tokenizer tokenizer(tokenizer_path);
  const Datasets train = open_datasets(config, config.data.train, tokenizer, run.cache_dir, mesh, metrics, &run.stop_requested);
  const Datasets eval = open_datasets(config, config.data.eval, tokenizer, run.cache_dir, mesh, metrics, &run.stop_requested);
  Loader loader(train, source_weights(config.data.train), loader_options(config, mesh));
  std::unique_ptr<Loader> eval_loader;
  if (!eval.empty()) {
    eval_loader = std::make_unique<Loader>(eval, source_weights(config.data.eval), eval_loader_options(config, mesh));
  }

  TrainedModel trained = make_trained_model(config, mesh);
  Model* const model = trained.model.get();
  const std::unique_ptr<Sharding> sharding = trained.shard(config, mesh);
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(TrainedModel::optimizer_config(config), *sharding);
  record_run(run, tokenizer_path, tokenizer, train, mesh);
  say_start(config, *model, loader, mesh, metrics);
  say_first_example(train, tokenizer, metrics);
  say_trained(trained, metrics);
  const ChatFormat format(tokenizer, config.data.chat_template);
  record_chat_template(config, format, train, mesh);
  say_end_of_turn(format, train, tokenizer, *model, metrics);

  std::optional<Samples> samples;
  if (config.train.sample_steps > 0) samples.emplace(eval.empty() ? train : eval, config.train.num_samples, tokenizer);
  Trainer trainer({.mesh = mesh,
                   .model = *model,
                   .objective = token_loss(config.loss),
                   .sharding = *sharding,
                   .optimizer = *optimizer,
                   .batches = batches_of(loader),
                   .eval_batches = eval_loader ? std::optional(batches_of(*eval_loader)) : std::nullopt,
                   .metrics = metrics,
                   .eval_objective = cross_entropy,
                   .show_samples = [&](int64_t step) { samples->show(*model, step, config.output_dir, mesh, metrics); }},
                  trainer_options(run, *model, mesh));
  const auto answers = [&] {
    return exact_match(*model, tokenizer, config.data.exact_match, format, mesh);
  };
  const ExactMatch before = config.data.exact_match.empty() ? ExactMatch{} : answers();
  if (trainer.run() == Trainer::End::kStopped) return 75;
  if (optimizer->use_average()) sharding->gather_parameters();
  if (!config.data.exact_match.empty()) say_match(before, answers(), metrics);
  finish_run(config, trained, tokenizer_path, mesh, metrics);
  return 0;
}

}  // namespace lathe
