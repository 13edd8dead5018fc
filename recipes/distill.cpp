// Distillation: a student learns a teacher's distributions. The teacher is asked at every step, or
// what lathe capture kept of it is read; on the data's answers, on the student's own (GKD) or on
// the teacher's, which it gives once (sequence-level).
#include "recipes/distill.h"

#include <fmt/core.h>

#include <filesystem>

#include "recipes/distill_batches.h"
#include "recipes/frozen_model.h"
#include "recipes/model_hash.h"
#include "recipes/run_frame.h"
#include "recipes/run_words.h"
#include "recipes/teacher_answers.h"
#include "trainer/agree.h"
#include "trainer/generate/generation_config.h"
#include "trainer/generate/mixture.h"
#include "trainer/hf_folder.h"
#include "trainer/objective/cross_vocabulary.h"
#include "trainer/objective/layer_terms.h"

namespace lathe {
namespace {

constexpr const char* kSelf = "self";

struct Teacher {
  // Empty where it is the student's model with its adapters off, or rows that were kept.
  FrozenModel own;
  TeacherModel model;
  // Where it numbers tokens otherwise, and that is wanted.
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<CrossVocabulary> cross;
};

bool has_tokenizer(const std::string& folder) {
  for (const char* file : {"/tokenizer.json", "/vocab.json", "/tokenizer.model"}) {
    if (std::filesystem::exists(folder + file)) return true;
  }
  return false;
}

void check_head(const std::string& folder, const Tokenizer& tokenizer) {
  const int64_t ids = read_model_config(folder).vocab_size;
  if (ids >= tokenizer.vocab_size()) return;
  throw std::invalid_argument(
      fmt::format("distill.teacher_model_name_or_path: {} knows {} ids but the tokenizer has {}",
                  folder, ids, tokenizer.vocab_size()));
}

// Two models that number their tokens differently can not be compared; nothing would fail, and the
// student would learn noise.
void check_tokenizers(const std::string& folder, const Tokenizer& tokenizer, Metrics& metrics) {
  if (!has_tokenizer(folder)) {
    metrics.note("teacher: " + folder +
                 " has no tokenizer of its own; taken to number tokens as the student does");
  } else if (const Tokenizer other(folder); other.hash() != tokenizer.hash()) {
    throw std::invalid_argument(fmt::format(
        "distill.teacher_model_name_or_path: {} has another tokenizer (hash {}, {} ids) than the "
        "student (hash {}, {} ids): "
        "their distributions are over different tokens; give a teacher with the same tokenizer, "
        "set distill.cross_vocabulary, or train on its answers",
        folder, other.hash(), other.vocab_size(), tokenizer.hash(), tokenizer.vocab_size()));
  }
  check_head(folder, tokenizer);
}

void meet_across(const RunConfig& config, const Tokenizer& tokenizer, Teacher& teacher,
                 Metrics& metrics) {
  const std::string folder = resolve_model_folder(config.distill.teacher_model_name_or_path);
  if (!has_tokenizer(folder)) {
    throw std::invalid_argument(
        "distill.cross_vocabulary: " + folder +
        " has no tokenizer; put the teacher's beside its weights, or leave cross_vocabulary out");
  }
  teacher.tokenizer = std::make_unique<Tokenizer>(folder);
  check_head(folder, *teacher.tokenizer);
  teacher.cross = std::make_unique<CrossVocabulary>(tokenizer, *teacher.tokenizer);
  const int64_t shared = teacher.cross->shared().student_ids_M.size(0);
  metrics.note(fmt::format("teacher: {} of the student's {} tokens are among its {}", shared,
                           tokenizer.vocab_size(), teacher.tokenizer->vocab_size()));
  if (shared > 0) return;
  throw std::invalid_argument(
      "distill.cross_vocabulary: the two vocabularies have no token in common");
}

// Where layers have a say.
std::unique_ptr<LayerTerms> make_layer_terms(const RunConfig& config, Model& student,
                                             Metrics& metrics) {
  const DistillConfig& c = config.distill;
  if (c.hidden_weight == 0 && c.attention_weight == 0) return nullptr;
  const ModelConfig teacher =
      c.teacher_model_name_or_path == kSelf
          ? student.config()
          : read_model_config(resolve_model_folder(c.teacher_model_name_or_path));
  auto terms =
      std::make_unique<LayerTerms>(c, student, teacher, static_cast<uint64_t>(config.seed));
  std::string pairs;
  for (const LayerPair& pair : terms->pairs())
    pairs += fmt::format(" {}:{}", pair.student, pair.teacher);
  metrics.note("layers student:teacher" + pairs +
               (terms->parameters().empty()
                    ? std::string()
                    : fmt::format("; {} projections from {} to {}", terms->parameters().size(),
                                  student.config().hidden_size, teacher.hidden_size)));
  return terms;
}

UnfilledModel open_teacher(const RunConfig& config, const Tokenizer& tokenizer, Mesh& mesh,
                           Metrics& metrics) {
  const std::string& name = config.distill.teacher_model_name_or_path;
  if (name == kSelf) return make_or_open_model(config, mesh);
  const std::string folder = resolve_model_folder(name);
  if (config.distill.cross_vocabulary == "false") check_tokenizers(folder, tokenizer, metrics);
  return open_model(folder, compute_dtype(config.distill.teacher_dtype, mesh.device()),
                    mesh.device(), tensor_parallel(config.parallel, mesh));
}

Teacher make_teacher(const RunConfig& config, TrainedModel& trained, const Tokenizer& tokenizer,
                     Mesh& mesh, Metrics& metrics) {
  Teacher teacher;
  const std::string& name = config.distill.teacher_model_name_or_path;
  if (name.empty()) return teacher;
  if (name == kSelf && trained.lora) {
    teacher.model = {trained.model.get(), &*trained.lora};
    metrics.note("teacher: the student with its adapters off");
    return teacher;
  }
  teacher.own = freeze_model(open_teacher(config, tokenizer, mesh, metrics), config.parallel, mesh);
  teacher.model = {teacher.own.model.get(), nullptr};
  int64_t parameters = 0;
  for (const Parameter* parameter : teacher.own.model->parameters())
    parameters += parameter->whole_numel();
  metrics.note(fmt::format("teacher: {} with {:.2f} M parameters, frozen", name,
                           static_cast<double>(parameters) / 1e6));
  if (config.distill.cross_vocabulary != "false") meet_across(config, tokenizer, teacher, metrics);
  return teacher;
}

// Of the weights that answer for seq_kd.
std::string teacher_hash(const RunConfig& config, Mesh& mesh) {
  const std::string& name = config.distill.teacher_model_name_or_path;
  const std::string& student = config.model.model_name_or_path;
  if (name == kSelf && config.model.from_scratch)
    return fmt::format("{} from seed {}", student, config.seed);
  const std::string folder = name == kSelf ? student : resolve_model_folder(name);
  return broadcast_bytes(mesh.world(),
                         mesh.world().rank() == 0 ? hash_of_model(folder) : std::string(), 0);
}

AnswerOptions answer_options(const RunConfig& config, const std::vector<int64_t>& stop_ids,
                             Mesh& mesh) {
  const DistillConfig& c = config.distill;
  return {.sampling = {.max_new_tokens = c.max_new_tokens,
                       .temperature = c.sampling_temperature,
                       .top_k = c.sampling_top_k,
                       .top_p = c.sampling_top_p,
                       .stop_ids = stop_ids},
          .max_length = config.data.max_length,
          .seed = static_cast<uint64_t>(config.seed),
          .meeting = meeting_of(config.parallel, mesh)};
}

std::vector<TeacherSet> open_sets(const RunConfig& config, const Datasets& train,
                                  Metrics& metrics) {
  std::vector<TeacherSet> sets;
  const std::vector<std::string>& folders = config.distill.teacher_shards;
  if (!folders.empty() && folders.size() != train.size()) {
    throw std::invalid_argument(fmt::format(
        "distill.teacher_shards names {} folders, but data.train has {} sources: one for each",
        folders.size(), train.size()));
  }
  for (size_t i = 0; i < folders.size(); ++i) {
    sets.emplace_back(folders[i], *train[i]);
    if (sets[i].info().k != sets[0].info().k) {
      throw std::invalid_argument(
          fmt::format("{} holds {} tokens a row, {} holds {}; capture them alike", folders[i],
                      sets[i].info().k, folders[0], sets[0].info().k));
    }
    metrics.note(fmt::format("teacher: rows of {} tokens in {}", sets[i].info().k, folders[i]));
  }
  if (!sets.empty() && config.distill.top_k > sets[0].info().k) {
    throw std::invalid_argument(
        fmt::format("distill.top_k is {}, but {} holds {} tokens a row; lower it or capture again",
                    config.distill.top_k, folders[0], sets[0].info().k));
  }
  return sets;
}

// Ids of the student's that both models know; with tokenizers of their own, all of the student's.
int64_t shared_vocabulary(const Tokenizer& tokenizer, Model& student, const Teacher& teacher) {
  const int64_t own = std::min(tokenizer.vocab_size(), student.config().vocab_size);
  if (teacher.model.model == nullptr || teacher.cross) return own;
  return std::min(own, teacher.model.model->config().vocab_size);
}

}  // namespace

int train_distillation(RunContext run) {
  const RunConfig& config = run.config;
  Mesh mesh(std::move(run.world), mesh_shape(config.parallel));
  Metrics metrics(mesh.world().rank() == 0 ? config.output_dir : "", run.console);

  RunData data(run, mesh, metrics);
  const auto& [tokenizer_path, tokenizer, train, eval] = data;
  TrainedModel trained = make_trained_model(config, mesh);
  Model& student = *trained.model;
  const std::unique_ptr<LayerTerms> layers = make_layer_terms(config, student, metrics);
  const std::unique_ptr<Sharding> sharding = trained.shard(
      config, mesh, layers ? layers->parameters() : std::vector<Parameter*>());
  if (layers) layers->set_sharding(sharding.get());
  const std::unique_ptr<Optimizer> optimizer = TrainedModel::optimizer(config, *sharding, mesh);
  const ChatFormat format(tokenizer, config.data.chat_template);
  record_chat_template(config, format, train, mesh);
  const std::vector<int64_t> stop_ids =
      stop_ids_of(config.model.model_name_or_path, student.config());
  say_end_of_turn(format, train, tokenizer, stop_ids, metrics);

  Teacher teacher = make_teacher(config, trained, tokenizer, mesh, metrics);
  if (config.distill.seq_kd) {
    data.train = answered_datasets(run, data,
                                   {.teacher = teacher.model,
                                    .teacher_hash = teacher_hash(config, mesh),
                                    .options = answer_options(config, stop_ids, mesh)},
                                   mesh, metrics);
  }
  RunLoaders loaders = open_loaders(config, data, mesh);
  Loader& loader = loaders.train;
  const std::unique_ptr<Loader>& eval_loader = loaders.eval;
  record_run(run, tokenizer_path, tokenizer, train, mesh);
  say_start(config, student, loader, mesh, metrics);
  say_first_example(train, tokenizer, metrics);
  say_trained(trained, metrics);

  const int64_t vocabulary = shared_vocabulary(tokenizer, student, teacher);
  DistillLoss loss(config.distill, vocabulary, teacher.model, teacher.cross.get(), layers.get());
  std::optional<MixtureModel> mixture;
  if (config.distill.divergence == "minillm" && config.distill.teacher_mixed_alpha > 0)
    mixture.emplace(student, teacher.model, config.distill.teacher_mixed_alpha, vocabulary);
  DistillSource source{.mesh = mesh,
                       .loader = loader,
                       .config = config.distill,
                       .student = mixture ? static_cast<Model&>(*mixture) : student,
                       .datasets = train,
                       .sets = open_sets(config, train, metrics),
                       .seed = static_cast<uint64_t>(config.seed),
                       .answers = answer_options(config, stop_ids, mesh)};
  const auto take_metrics = [&](bool evaluation) {
    MetricRow row = loss.take_metrics(mesh.dp(), evaluation);
    if (!evaluation && config.distill.lmbda > 0)
      row.emplace_back("student_steps", source.take_share());
    return row;
  };
  Trainer trainer(
      {.mesh = mesh,
       .model = student,
       .objective = [&loss](Model& model, const Batch& batch) { return loss(model, batch); },
       .sharding = *sharding,
       .optimizer = *optimizer,
       .batches = batches_of(source),
       .eval_batches = eval_loader ? std::optional(batches_of(*eval_loader)) : std::nullopt,
       .metrics = metrics,
       .eval_objective = [&loss](
                             Model& model,
                             const Batch& batch) { return loss.cross_entropy_of(model, batch); },
       .take_metrics = take_metrics},
      trainer_options(run, student, mesh));
  const std::function<ExactMatch()> ask = [&] {
    return exact_match(student, tokenizer, config.data.exact_match, format, stop_ids, mesh,
                       meeting_of(config.parallel, mesh));
  };
  const bool asked = !config.data.exact_match.empty();
  if (!train_to_end(trainer, *optimizer, *sharding, metrics, asked ? ask : nullptr)) return 75;
  finish_run(config, trained, tokenizer_path, *sharding, mesh, metrics);
  return 0;
}

}  // namespace lathe
