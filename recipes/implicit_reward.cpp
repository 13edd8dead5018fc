#include "recipes/implicit_reward.h"

#include <filesystem>
#include <map>

#include "recipes/answer_log_probs.h"
#include "recipes/rank_agreement.h"
#include "trainer/hf_folder.h"

namespace lathe {
namespace {

// Of each prompt's answers.
using Rewards = std::vector<std::vector<double>>;

std::vector<AnswerIds> written_answers(const StageContext& c, const Line& prompt,
                                       const Line& answers) {
  std::vector<AnswerIds> written;
  for (const Line& answer : answers.at("answers"))
    written.push_back(written_answer(c, prompt.at("prompt"), answer.at("text").get<std::string>()));
  return written;
}

// Log-probabilities under one model. This rank's prompts.
Rewards log_probs_under(const StageContext& c, const std::string& folder,
                        const std::vector<std::vector<AnswerIds>>& written) {
  Model& model = c.models.get(folder);
  Passes passes(meeting_of(c));
  Rewards log_probs;
  for (const auto& answers : written)
    log_probs.push_back(answer_log_probs(model, answers, c.mesh.device(), passes));
  finish_passes(model, c.mesh.device(), passes);
  return log_probs;
}

Rewards per_token(Rewards rewards, const std::vector<std::vector<AnswerIds>>& written) {
  for (size_t i = 0; i < rewards.size(); ++i) {
    for (size_t a = 0; a < rewards[i].size(); ++a)
      rewards[i][a] /= static_cast<double>(std::max<int64_t>(1, num_answer_tokens(written[i][a])));
  }
  return rewards;
}

Rewards less(Rewards rewards, const Rewards& reference) {
  for (size_t i = 0; i < rewards.size(); ++i) {
    for (size_t a = 0; a < rewards[i].size(); ++a) rewards[i][a] -= reference[i][a];
  }
  return rewards;
}

}  // namespace

std::optional<double> consistency_of(const std::vector<double>& current,
                                     const std::vector<double>& previous) {
  const std::optional<double> tau = kendall_tau(current, previous);
  return tau ? std::optional((*tau + 1) / 2) : std::nullopt;
}

JsonLines implicit_rewards(const StageContext& c, const JsonLines& prompts,
                           const JsonLines& answers) {
  const SelfRewardConfig& config = c.config.self_reward;
  const std::string reference = config.reference_name_or_path.empty()
                                    ? ""
                                    : resolve_model_folder(config.reference_name_or_path);
  const auto make = [&](const std::vector<size_t>& places) {
    std::vector<std::vector<AnswerIds>> written;
    for (const size_t i : places) written.push_back(written_answers(c, prompts[i], answers[i]));
    const Rewards of_reference =
        reference.empty() ? Rewards() : log_probs_under(c, reference, written);
    const auto rewards_of = [&](const std::string& folder) {
      if (reference.empty()) return per_token(log_probs_under(c, folder, written), written);
      if (std::filesystem::equivalent(folder, reference)) return per_token(of_reference, written);
      return less(log_probs_under(c, folder, written), of_reference);
    };
    const Rewards current = rewards_of(c.model_folder);
    const Rewards previous = config.consistency ? rewards_of(c.previous_folder) : Rewards();
    JsonLines lines;
    for (size_t k = 0; k < places.size(); ++k) {
      Line line{{"id", prompts[places[k]].at("id")}, {"scores", current[k]}, {"failures", 0}};
      if (config.consistency)
        line["consistency"] = number_or_null(consistency_of(current[k], previous[k]));
      lines.push_back(std::move(line));
    }
    return lines;
  };
  return share(c, make, prompts.size());
}

std::optional<double> mean_consistency(const JsonLines& scores) {
  double sum = 0;
  int64_t prompts = 0;
  for (const Line& line : scores) {
    if (!line.contains("consistency") || line["consistency"].is_null()) continue;
    sum += line["consistency"].get<double>();
    ++prompts;
  }
  return prompts == 0 ? std::nullopt : std::optional(sum / static_cast<double>(prompts));
}

}  // namespace lathe
