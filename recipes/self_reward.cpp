// Self-rewarding iteration: a model answers, its answers are judged, and the next model prefers the
// better ones.
#include "recipes/self_reward.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "recipes/answer_scores.h"
#include "recipes/dpo.h"
#include "recipes/exact_match.h"
#include "recipes/implicit_reward.h"
#include "recipes/iteration_changes.h"
#include "recipes/iteration_facts.h"
#include "recipes/iteration_report.h"
#include "recipes/language_model.h"
#include "recipes/metrics_log.h"
#include "recipes/model_hash.h"
#include "recipes/parts.h"
#include "recipes/rankings_file.h"
#include "recipes/self_reward_page.h"
#include "recipes/self_reward_stages.h"
#include "recipes/stage.h"
#include "trainer/agree.h"
#include "trainer/generate/generation_config.h"
#include "trainer/hf_folder.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Lines `key: value` of the config, those whose keys begin with one of these.
std::string lines_with(const std::string& fingerprint, const std::vector<std::string>& beginnings,
                       bool wanted) {
  std::string kept;
  std::istringstream lines(fingerprint);
  for (std::string line; std::getline(lines, line);) {
    const bool found = std::any_of(beginnings.begin(), beginnings.end(),
                                   [&](const std::string& each) { return line.starts_with(each); });
    if (found == wanted) kept += line + "\n";
  }
  return kept;
}

// Everything in the config that decides what the stages before TRAIN make. How many iterations come
// after, what only later ones change and what is measured beside them does not.
std::string settings_of(const RunConfig& config) {
  const SelfRewardConfig& c = config.self_reward;
  const bool asks = c.scorer == "judge" || c.scorer == "pairwise_judge";
  return lines_with(
             lines_with(fingerprint(config),
                        {"seed:", "model.dtype:", "data.chat_template:", "self_reward."}, true),
             {"self_reward.iterations:", "self_reward.changes",
              "self_reward.judge_eval:", "self_reward.judge_prompt:", "self_reward.earlier_pairs:"},
             false) +
         (asks ? hex16(hash_bytes(read_rubric(c))) : "");
}

// The run that trains the next model on what was selected.
RunConfig training_config(const RunConfig& config, const std::string& model_folder,
                          const std::string& tokenizer, const std::vector<std::string>& pairs,
                          const std::string& output_dir, std::optional<double> consistency) {
  RunConfig training = config;
  const bool alone = config.self_reward.selector == "top_score";
  training.recipe = alone ? "sft" : "dpo";
  training.model.model_name_or_path = model_folder;
  training.model.tokenizer = tokenizer;
  training.output_dir = output_dir;
  training.data.train.clear();
  for (const std::string& path : pairs)
    training.data.train.push_back(
        {.path = path, .shape = alone ? "prompt_completion" : "preference"});
  training.data.eval.clear();
  training.data.exact_match.clear();
  training.data.cache_dir = fs::path(output_dir).parent_path().string() + "/cache";
  training.train.eval_steps = 0;
  if (consistency) {
    training.dpo.loss_type = {"conservative"};
    training.dpo.label_smoothing = 1 - *consistency;
  }
  return training;
}

class Iteration {
 public:
  Iteration(RunContext& run, Mesh& mesh, const Tokenizer& tokenizer, const ChatFormat& format,
            const std::string& tokenizer_path, Metrics& metrics, int64_t number,
            std::string model_folder, std::string previous_folder)
      : run_(run),
        config_(config_of_iteration(run.config, number)),
        mesh_(mesh),
        world_(*run.world),
        metrics_(metrics),
        tokenizer_path_(tokenizer_path),
        stages_(fmt::format("{}/iteration-{}", run.config.output_dir, number), world_),
        models_(config_, mesh),
        context_{config_,
                 mesh,
                 models_,
                 tokenizer,
                 format,
                 number,
                 std::move(model_folder),
                 std::move(previous_folder)},
        tokenizer_(tokenizer) {}

  // The folder of the model that came out; "" when told to stop.
  std::string go(const JsonLines& all) {
    const std::string model = broadcast_bytes(
        world_, world_.rank() == 0 ? hash_of_model(context_.model_folder) : std::string(), 0);
    std::string inputs =
        fmt::format("3 {} {} {}", settings_of(config_), model, hex16(hash_bytes(dump_lines(all))));
    const auto stage = [&](const char* name, const std::function<JsonLines()>& make) {
      const std::string text = stages_.text(name, inputs, [&] { return dump_lines(make()); });
      inputs += " " + hex16(hash_bytes(text));
      return parse_lines(text);
    };
    const JsonLines prompts = stage("prompts.jsonl", [&] { return prompts_of(context_, all); });
    if (is_stopped()) return "";
    const JsonLines answers =
        stage("samples.jsonl", [&] { return sample_answers(context_, prompts); });
    if (is_stopped()) return "";
    const JsonLines scores =
        stage("scores.jsonl", [&] { return score_answers(context_, prompts, answers); });
    const JsonLines pairs =
        stage("pairs.jsonl", [&] { return select_answers(context_, prompts, answers, scores); });
    if (pairs.empty()) {
      throw std::invalid_argument(
          fmt::format("{}: no prompt has two answers that differ enough; use more num_generations, "
                      "a higher temperature or other prompts",
                      stages_.folder()));
    }
    metrics_.note(
        fmt::format("iteration {}: {} answers to {} prompts, {} pairs", context_.iteration,
                    prompts.size() * static_cast<size_t>(config_.self_reward.num_generations),
                    prompts.size(), pairs.size()));
    if (is_stopped() || !train(inputs, mean_consistency(scores))) return "";
    report(inputs, prompts, answers, scores, pairs);
    return trained_folder();
  }

 private:
  std::string trained_folder() const { return stages_.folder() + "/model"; }
  bool is_stopped() const { return any(world_, run_.stop_requested); }

  // REFERENCE is the first part of what dpo does, kept in the iteration's own cache.
  bool train(std::string inputs, std::optional<double> consistency) {
    const std::vector<std::string> pairs = pair_files(inputs);
    RunConfig config = training_config(config_, context_.model_folder, tokenizer_path_, pairs,
                                       trained_folder(), consistency);
    bool stopped = false;
    const auto work = [&] {
      models_.let_go();
      together(world_, [&] {
        if (world_.rank() == 0) fs::create_directories(trained_folder());
      });
      RunContext inner{.config = config,
                       .world = world_.split(0),
                       .fingerprint = fingerprint(config),
                       .cache_dir = config.data.cache_dir,
                       .stop_requested = run_.stop_requested,
                       .console = run_.console,
                       .log = run_.log};
      const int code = config.recipe == "dpo" ? train_preferences(std::move(inner))
                                              : train_language_model(std::move(inner));
      stopped = code != 0;
      if (stopped) throw TrainingStopped();
    };
    try {
      stages_.work("model", inputs + "\n" + without_folder(fingerprint(config)), work,
                   [&] { return hash_of_model(trained_folder()); });
    } catch (const TrainingStopped&) {
    }
    return !stopped;
  }

  struct TrainingStopped {};

  // Where things lie does not decide what comes out.
  static std::string without_folder(const std::string& fingerprint) {
    return lines_with(fingerprint, {"model.model_name_or_path", "model.tokenizer", "data.train"},
                      false);
  }

  // This iteration's and, where they are asked for, those before it; inputs: what is in these.
  std::vector<std::string> pair_files(std::string& inputs) const {
    std::vector<std::string> files;
    const int64_t now = context_.iteration;
    for (int64_t i = std::max<int64_t>(0, now - config_.self_reward.earlier_pairs); i < now; ++i) {
      files.push_back(fmt::format("{}/iteration-{}/pairs.jsonl", run_.config.output_dir, i));
      inputs +=
          " " + broadcast_bytes(world_, world_.rank() == 0 ? hash_of_file(files.back()) : "", 0);
    }
    files.push_back(stages_.folder() + "/pairs.jsonl");
    return files;
  }

  // On rank 0 alone.
  static std::string hash_of_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return hex16(hash_bytes(text.str()));
  }

  // EVAL: questions that are compared to the letter.
  void add_exact_match(Json& facts, const Json& earlier) {
    const auto percent = [&](const std::string& folder) {
      Model& model = models_.get(folder);
      return exact_match(model, tokenizer_, config_.data.exact_match, context_.format,
                         stop_ids_of(folder, model.config()), mesh_, meeting_of(context_))
          .percent();
    };
    const double before = earlier.contains("exact_match_after")
                              ? earlier["exact_match_after"].get<double>()
                              : percent(context_.model_folder);
    const double after = percent(trained_folder());
    facts["exact_match_before"] = before;
    facts["exact_match_after"] = after;
    metrics_.note(fmt::format("iteration {}: exact match {:.1f} % before, {:.1f} % after",
                              context_.iteration, before, after));
  }

  // What the iteration before measured of the model that it made, if it measured as this one does;
  // else nothing.
  Json earlier_report() const {
    if (context_.iteration == 0) return Json::object();
    const RunConfig before = config_of_iteration(run_.config, context_.iteration - 1);
    const auto key = [](const RunConfig& c) {
      return settings_of(c) + c.data.exact_match + "\n" + c.self_reward.judge_eval;
    };
    if (key(config_) != key(before)) return Json::object();
    const std::string path =
        fmt::format("{}/iteration-{}/report.json", run_.config.output_dir, context_.iteration - 1);
    std::string text;
    together(world_, [&] {
      if (world_.rank() == 0) text = Json::parse(std::ifstream(path)).dump();
    });
    return Json::parse(broadcast_bytes(world_, text, 0));
  }

  // EVAL and the report. The log of dpo's steps says how chosen and rejected answers fared.
  void report(std::string inputs, const JsonLines& prompts, const JsonLines& answers,
              const JsonLines& scores, const JsonLines& pairs) {
    const std::string& judge_eval = config_.self_reward.judge_eval;
    inputs += " " + config_.data.exact_match + " " + judge_eval;
    stages_.text("report.json", inputs, [&] {
      Json facts = describe(prompts, answers, scores, pairs);
      facts["iteration"] = context_.iteration;
      facts.update(log_prob_facts(context_, prompts, answers, pairs,
                                  run_.config.model.model_name_or_path, trained_folder()));
      const Json earlier = earlier_report();
      if (!config_.data.exact_match.empty()) add_exact_match(facts, earlier);
      if (!judge_eval.empty()) {
        facts["judge"]["before"] = earlier.contains("judge")
                                       ? earlier["judge"]["after"]
                                       : agreement_facts(context_, context_.model_folder);
        facts["judge"]["after"] = agreement_facts(context_, trained_folder());
      }
      together(world_, [&] {
        if (world_.rank() == 0) add_curves(facts["train"]);
      });
      return facts.dump(2) + "\n";
    });
    stages_.text("report.html", inputs, [&] {
      std::string page;
      together(world_, [&] {
        if (world_.rank() != 0) return;
        page = self_reward_page(Json::parse(std::ifstream(stages_.folder() + "/report.json")),
                                read_metrics_log(trained_folder() + "/metrics.jsonl"));
      });
      return page;
    });
  }

  void add_curves(Json& train) const {
    const std::vector<LoggedRow> rows = read_metrics_log(trained_folder() + "/metrics.jsonl");
    for (const char* name : {"loss", "logps/chosen", "logps/rejected", "rewards/margins"}) {
      const Curve curve = curve_of(rows, name);
      if (curve.values.empty()) continue;
      train[name] = {{"first", curve.values.front()}, {"last", curve.values.back()}};
    }
  }

  RunContext& run_;
  const RunConfig config_;
  Mesh& mesh_;
  Group& world_;
  Metrics& metrics_;
  std::string tokenizer_path_;
  StageFolder stages_;
  StageModels models_;
  StageContext context_;
  const Tokenizer& tokenizer_;
};

// PROMOTE, for the last time: the result lies where every run's lies.
void publish_result(const std::string& from, const std::string& to) {
  const auto is_of_run = [](const std::string& name) {
    return name == "config.yaml" || name == "metrics.jsonl" || name == "trainer_state.json" ||
           name == "run.json" || name.starts_with("events.") || name.starts_with("report.") ||
           name.starts_with("loss.") || name.starts_with(".");
  };
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename();
    if (!entry.is_regular_file() || is_of_run(name)) continue;
    const std::string temporary = temporary_name(to + "/" + name);
    fs::copy_file(entry.path(), temporary);
    publish(temporary, to + "/" + name);
  }
}

}  // namespace

void self_reward_defaults(RunConfig& config) {
  dpo_defaults(config);
  config.dpo.loss_type = {"sigmoid"};
}

int train_on_own_answers(RunContext run) {
  const RunConfig& config = run.config;
  check_self_reward(config);
  Mesh mesh(run.world->split(0), mesh_shape(config.parallel));
  Metrics metrics(run.world->rank() == 0 ? config.output_dir : "", run.console);
  const std::string tokenizer_path = tokenizer_folder(config.model);
  const Tokenizer tokenizer(tokenizer_path);
  const ChatFormat format(tokenizer, config.data.chat_template);
  const JsonLines all = all_prompts(config.data.train);
  // A fault of it is told now, not behind the first iteration's training.
  if (!config.self_reward.judge_eval.empty()) read_rankings(config.self_reward.judge_eval);
  std::string model = config.model.model_name_or_path;
  std::string previous = config.self_reward.previous_name_or_path;
  if (!previous.empty()) previous = resolve_model_folder(previous);
  for (int64_t i = 0; i < config.self_reward.iterations; ++i) {
    Iteration iteration(run, mesh, tokenizer, format, tokenizer_path, metrics, i, model, previous);
    previous = std::exchange(model, iteration.go(all));
    if (model.empty()) return 75;
  }
  together(*run.world, [&] {
    if (run.world->rank() == 0) publish_result(model, config.output_dir);
  });
  metrics.note("model written to " + config.output_dir);
  return 0;
}

}  // namespace lathe
