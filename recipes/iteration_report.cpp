#include "recipes/iteration_report.h"

#include <filesystem>
#include <map>

#include "recipes/answer_log_probs.h"
#include "recipes/answer_scores.h"
#include "recipes/rank_agreement.h"
#include "recipes/rankings_file.h"

namespace lathe {
namespace {

constexpr const char* kKinds[] = {"sampled", "chosen", "rejected"};

// What is read of a prompt: its sampled answers, and those of its pairs.
struct Reading {
  std::vector<AnswerIds> answers[std::size(kKinds)];
};

Reading reading_of(const StageContext& c, const Line& prompt, const Line& answers,
                   const std::vector<const Line*>& pairs) {
  Reading reading;
  const Line& messages = prompt.at("prompt");
  for (const Line& answer : answers.at("answers"))
    reading.answers[0].push_back(
        sampled_answer(c, messages, answer.at("ids").get<std::vector<int64_t>>()));
  const auto written = [&](const Line& turn) {
    return written_answer(c, messages, turn.at(0).at("content").get<std::string>());
  };
  for (const Line* pair : pairs) {
    reading.answers[1].push_back(
        written(pair->at(pair->contains("chosen") ? "chosen" : "completion")));
    if (pair->contains("rejected")) reading.answers[2].push_back(written(pair->at("rejected")));
  }
  return reading;
}

// {"id", "sampled": [log p], "chosen": [...], "rejected": [...], "tokens": of all sampled answers}
JsonLines log_probs_under(const StageContext& c, const std::string& folder,
                          const JsonLines& prompts, const JsonLines& answers,
                          const JsonLines& pairs) {
  std::map<int64_t, std::vector<const Line*>> pairs_of;
  for (const Line& pair : pairs) pairs_of[pair.at("id").get<int64_t>()].push_back(&pair);
  Model& model = c.models.get(folder);
  const auto make = [&](const std::vector<size_t>& places) {
    Passes passes(meeting_of(c));
    JsonLines lines;
    for (const size_t i : places) {
      const auto id = prompts[i].at("id").get<int64_t>();
      const Reading reading = reading_of(c, prompts[i], answers[i], pairs_of[id]);
      Line line{{"id", id}};
      for (size_t k = 0; k < std::size(kKinds); ++k)
        line[kKinds[k]] = answer_log_probs(model, reading.answers[k], c.mesh.device(), passes);
      int64_t tokens = 0;
      for (const AnswerIds& answer : reading.answers[0]) tokens += num_answer_tokens(answer);
      line["tokens"] = tokens;
      lines.push_back(std::move(line));
    }
    finish_passes(model, c.mesh.device(), passes);
    return lines;
  };
  return share(c, make, prompts.size());
}

struct Total {
  double sum = 0;
  int64_t count = 0;
  double mean() const { return count == 0 ? 0 : sum / static_cast<double>(count); }
};

Total total(const JsonLines& lines, const char* kind) {
  Total total;
  for (const Line& line : lines) {
    for (const Line& value : line.at(kind)) {
      total.sum += value.get<double>();
      ++total.count;
    }
  }
  return total;
}

}  // namespace

Line log_prob_facts(const StageContext& c, const JsonLines& prompts, const JsonLines& answers,
                    const JsonLines& pairs, const std::string& start_folder,
                    const std::string& trained_folder) {
  const auto under = [&](const std::string& folder) {
    return log_probs_under(c, folder, prompts, answers, pairs);
  };
  const JsonLines before = under(c.model_folder), after = under(trained_folder);
  const bool is_start = std::filesystem::equivalent(c.model_folder, start_folder);
  const JsonLines start = is_start ? before : under(start_folder);
  double tokens = 0;
  for (const Line& line : before) tokens += line.at("tokens").get<double>();
  const Total said = total(before, "sampled");
  Line facts;
  for (const auto& [name, other] :
       {std::pair{"kl_to_start", &start}, std::pair{"kl_of_training", &after}}) {
    const Total gap{said.sum - total(*other, "sampled").sum, said.count};
    facts[name] = gap.mean();
    facts[std::string(name) + "_per_token"] = tokens == 0 ? 0 : gap.sum / tokens;
  }
  for (const char* kind : {"chosen", "rejected"}) {
    const Total old = total(before, kind);
    if (old.count == 0) continue;
    facts[std::string("logps_") + kind + "_before"] = old.mean();
    facts[std::string("logps_") + kind + "_after"] = total(after, kind).mean();
  }
  return facts;
}

Line agreement_facts(StageContext c, const std::string& model_folder) {
  c.model_folder = model_folder;
  const std::vector<Ranking> rankings = read_rankings(c.config.self_reward.judge_eval);
  JsonLines prompts, answers;
  for (size_t i = 0; i < rankings.size(); ++i) {
    prompts.push_back({{"id", i}, {"prompt", rankings[i].prompt}, {"expected", ""}});
    Line texts = Line::array();
    for (const std::string& response : rankings[i].responses) texts.push_back({{"text", response}});
    answers.push_back({{"id", i}, {"answers", texts}});
  }
  const JsonLines scores = score_answers(c, prompts, answers);
  std::vector<RankedAnswers> ranked;
  for (size_t i = 0; i < rankings.size(); ++i) {
    ranked.push_back({rankings[i].ranks, {}});
    for (const Line& score : scores[i].at("scores"))
      ranked.back().scores.push_back(score.is_null() ? std::nullopt
                                                     : std::optional(score.get<double>()));
  }
  const bool has_scale = c.config.self_reward.scorer == "judge";
  const JudgeAgreement found = judge_agreement(
      ranked, has_scale ? std::optional(c.config.self_reward.judge_max) : std::nullopt);
  return {{"prompts", found.prompts},         {"pairwise_accuracy", found.pairwise_accuracy},
          {"tie_share", found.tie_share},     {"five_best", number_or_null(found.five_best)},
          {"exact_match", found.exact_match}, {"spearman", found.spearman},
          {"kendall_tau", found.kendall_tau}};
}

}  // namespace lathe
