// Synthetic data: a model makes new prompts out of seed tasks and answers them.
#include "recipes/synthesize.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "data/shards/hash.h"
#include "recipes/answer_scores.h"
#include "recipes/model_hash.h"
#include "recipes/new_prompts.h"
#include "recipes/parts.h"
#include "recipes/self_reward_stages.h"
#include "recipes/stage.h"
#include "trainer/agree.h"
#include "trainer/metrics.h"

namespace lathe {
namespace {

// Random numbers of prompts and of answers are told apart by it.
enum Purpose { kPrompts, kAnswers };

RunConfig config_for_prompts(RunConfig config) {
  config.self_reward.num_generations = 1;
  config.self_reward.temperature = config.synthesize.prompt_temperature;
  config.self_reward.top_p = config.synthesize.prompt_top_p;
  config.self_reward.max_new_tokens = config.synthesize.prompt_max_new_tokens;
  return config;
}

std::string question_of(const Line &prompt) {
  return prompt.at("prompt").back().at("content").get<std::string>();
}

std::vector<KnownPrompt> seeds_of(const JsonLines &tasks) {
  std::vector<KnownPrompt> seeds;
  for (const Line &task : tasks)
    seeds.push_back({fmt::format("seed:{}", task.at("id").get<int64_t>()), question_of(task)});
  return seeds;
}

class Synthesis {
 public:
  Synthesis(RunContext &run, Mesh &mesh, const Tokenizer &tokenizer, const ChatFormat &format,
            Metrics &metrics)
      : run_(run),
        config_(run.config),
        c_(config_.synthesize),
        world_(*run.world),
        metrics_(metrics),
        prompt_config_(config_for_prompts(config_)),
        tasks_(all_prompts(config_.data.train)),
        stages_(config_.output_dir + "/stages", world_),
        models_(config_, mesh),
        prompts_{prompt_config_, mesh, models_, tokenizer, format, kPrompts, folder(), ""},
        answers_{config_, mesh, models_, tokenizer, format, kAnswers, folder(), ""},
        pool_(seeds_of(tasks_), c_) {
    hash_ = broadcast_bytes(world_, world_.rank() == 0 ? hash_of_model(folder()) : "", 0);
    inputs_ = fmt::format("1 {} {} {}", settings(), hash_, hex16(hash_bytes(dump_lines(tasks_))));
  }

  // False when told to stop.
  bool go() {
    const int64_t most = c_.attempts > 0 ? c_.attempts : 10 * c_.num_prompts;
    for (int64_t first = 0; first < most && std::ssize(pool_.made()) < c_.num_prompts;
         first += c_.round_size) {
      if (is_stopped()) return false;
      make_prompts(first, std::min(c_.round_size, most - first));
    }
    const JsonLines prompts = prompts_to_answer();
    for (size_t first = 0; first < prompts.size(); first += static_cast<size_t>(c_.round_size)) {
      if (is_stopped()) return false;
      const size_t end = std::min(prompts.size(), first + static_cast<size_t>(c_.round_size));
      answer(JsonLines(prompts.begin() + static_cast<int64_t>(first),
                       prompts.begin() + static_cast<int64_t>(end)));
    }
    write(prompts);
    return true;
  }

 private:
  std::string folder() const { return config_.model.model_name_or_path; }
  bool is_stopped() const { return any(world_, run_.stop_requested); }

  // What decides the texts: the model is known by its hash, the tasks by
  // theirs.
  std::string settings() const {
    std::string kept;
    std::istringstream lines(fingerprint(config_));
    for (std::string line; std::getline(lines, line);) {
      for (const char *key :
           {"seed:", "model.dtype:", "data.chat_template:", "self_reward.", "synthesize."}) {
        if (line.starts_with(key)) kept += line + "\n";
      }
    }
    const std::string &scorer = config_.self_reward.scorer;
    const bool asks = scorer == "judge" || scorer == "pairwise_judge";
    return kept + (asks ? hex16(hash_bytes(read_rubric(config_.self_reward))) : "");
  }

  JsonLines stage(const std::string &name, const std::function<JsonLines()> &make) {
    const std::string text = stages_.text(name, inputs_, [&] { return dump_lines(make()); });
    inputs_ += " " + hex16(hash_bytes(text));
    return parse_lines(text);
  }

  // Attempts of a round are shown the prompts of those before it.
  void make_prompts(int64_t first, int64_t count) {
    JsonLines questions;
    for (int64_t attempt = first; attempt < first + count; ++attempt) {
      const Demonstrations shown = demonstrations_of(static_cast<uint64_t>(config_.seed), attempt,
                                                     pool_.seeds().size(), pool_.made().size(), c_);
      std::vector<std::string> texts, ids;
      const auto take = [&](const KnownPrompt &known) {
        texts.push_back(known.text);
        ids.push_back(known.id);
      };
      for (const size_t place : shown.seeds) take(pool_.seeds()[place]);
      for (const size_t place : shown.made) take(pool_.made()[place]);
      questions.push_back({{"id", attempt},
                           {"prompt", messages_of({{"user", prompt_question(texts, c_)}})},
                           {"parents", ids}});
    }
    const JsonLines said = stage(fmt::format("prompts-{}.jsonl", first), [&] {
      JsonLines lines = sample_answers(prompts_, questions);
      for (size_t i = 0; i < lines.size(); ++i) lines[i]["parents"] = questions[i].at("parents");
      return lines;
    });
    for (const Line &line : said) {
      const Line &answer = line.at("answers").at(0);
      const std::string id = fmt::format("made:{}", line.at("id").get<int64_t>());
      parents_[id] = line.at("parents");
      pool_.add(id, answer.at("text").get<std::string>(), answer.at("finish") == "stop");
    }
    attempts_ += count;
    metrics_.note(fmt::format("{} attempts, {} new prompts", attempts_, pool_.made().size()));
  }

  // {"id", "name", "prompt", "expected", "parents"}
  JsonLines prompts_to_answer() const {
    JsonLines prompts;
    const auto add = [&](const std::string &name, const Line &messages, const Line &expected,
                         const Line &parents) {
      prompts.push_back({{"id", prompts.size()},
                         {"name", name},
                         {"prompt", messages},
                         {"expected", expected},
                         {"parents", parents}});
    };
    for (const Line &task : tasks_) {
      const std::string name = fmt::format("seed:{}", task.at("id").get<int64_t>());
      if (c_.num_prompts == 0 || c_.answer_seed_tasks)
        add(name, task.at("prompt"), task.at("expected"), Line::array({name}));
    }
    for (int64_t i = 0; i < std::min(c_.num_prompts, std::ssize(pool_.made())); ++i) {
      const KnownPrompt &made = pool_.made()[static_cast<size_t>(i)];
      add(made.id, messages_of({{"user", made.text}}), "", parents_.at(made.id));
    }
    return prompts;
  }

  void answer(const JsonLines &prompts) {
    const auto first = prompts[0].at("id").get<int64_t>();
    const JsonLines answers = stage(fmt::format("answers-{}.jsonl", first),
                                    [&] { return sample_answers(answers_, prompts); });
    JsonLines scores;
    if (c_.rejection) {
      scores = stage(fmt::format("scores-{}.jsonl", first),
                     [&] { return score_answers(answers_, prompts, answers); });
    }
    for (size_t i = 0; i < prompts.size(); ++i)
      keep(prompts[i], answers[i].at("answers"), scores.empty() ? Line() : scores[i].at("scores"));
    metrics_.note(fmt::format("{} answers to {} prompts, {} kept", sampled_,
                              static_cast<size_t>(first) + prompts.size(), records_.size()));
  }

  void keep(const Line &prompt, const Line &answers, const Line &scores) {
    std::set<std::string> texts;
    for (size_t a = 0; a < answers.size(); ++a) {
      ++sampled_;
      const std::string text = answers[a].at("text").get<std::string>();
      const Line score = scores.is_null() ? Line() : scores.at(a);
      if (answers[a].at("finish") != "stop") {
        ++rejected_["cut"];
      } else if (c_.rejection && (score.is_null() || score.get<double>() < c_.min_score)) {
        ++rejected_["score"];
      } else if (texts.contains(text)) {
        ++rejected_["same"];
      } else if (std::ssize(texts) == c_.answers_per_prompt) {
        ++rejected_["enough"];
      } else {
        texts.insert(text);
        records_.push_back(record_of(prompt, a, text, score));
      }
    }
    unanswered_ += texts.empty();
  }

  Line record_of(const Line &prompt, size_t sample, const std::string &text,
                 const Line &score) const {
    Line messages = prompt.at("prompt");
    messages.push_back({{"role", "assistant"}, {"content", text}});
    return {{"messages", messages},
            {"id", fmt::format("{}/{}", prompt.at("name").get<std::string>(), sample)},
            {"tier", "synthetic"},
            {"generator", folder()},
            {"generator_hash", hash_},
            {"parents", prompt.at("parents")},
            {"temperature", config_.self_reward.temperature},
            {"seed", config_.seed},
            {"score", score}};
  }

  void write(const JsonLines &prompts) {
    StageFolder results(config_.output_dir, world_);
    results.text("synthetic.jsonl", inputs_, [&] { return dump_lines(records_); });
    const Line report{{"seed_tasks", tasks_.size()},
                      {"attempts", attempts_},
                      {"prompts_made", pool_.made().size()},
                      {"prompts_dropped", pool_.dropped()},
                      {"prompts_answered", prompts.size()},
                      {"prompts_without_answer", unanswered_},
                      {"answers", sampled_},
                      {"answers_rejected", rejected_},
                      {"records", records_.size()}};
    results.text("report.json", inputs_, [&] { return report.dump(2) + "\n"; });
    metrics_.note(fmt::format("{} records written to {}/synthetic.jsonl", records_.size(),
                              config_.output_dir));
  }

  RunContext &run_;
  const RunConfig config_;
  const SynthesizeConfig &c_;
  Group &world_;
  Metrics &metrics_;
  const RunConfig prompt_config_;
  const JsonLines tasks_;
  StageFolder stages_;
  StageModels models_;
  StageContext prompts_, answers_;
  PromptPool pool_;
  std::string hash_, inputs_;  // inputs_: all that the next stage is made of
  std::map<std::string, Line> parents_;
  std::map<std::string, int64_t> rejected_;
  JsonLines records_;
  int64_t attempts_ = 0, sampled_ = 0, unanswered_ = 0;
};

}  // namespace

void check_synthesize(const RunConfig &config) {
  const SelfRewardConfig &scoring = config.self_reward;
  const bool needs_answer = scoring.scorer == "verifier" && scoring.verifier != "command";
  if (config.synthesize.num_prompts > 0 && config.synthesize.rejection && needs_answer) {
    throw std::invalid_argument(
        "synthesize.num_prompts: new prompts have no "
        "right answer that self_reward.verifier could "
        "compare with; use verifier: command, a judge, "
        "a reward model, or synthesize.rejection: "
        "false");
  }
}

void synthesize_defaults(RunConfig &config) { config.self_reward.selector = "top_score"; }

int synthesize(RunContext run) {
  const RunConfig &config = run.config;
  check_synthesize(config);
  Mesh mesh(run.world->split(0), mesh_shape(config.parallel));
  Metrics metrics(run.world->rank() == 0 ? config.output_dir : "", run.console);
  const Tokenizer tokenizer(tokenizer_folder(config.model));
  const ChatFormat format(tokenizer, config.data.chat_template);
  Synthesis synthesis(run, mesh, tokenizer, format, metrics);
  if (!synthesis.go()) return 75;
  return 0;
}

}  // namespace lathe
