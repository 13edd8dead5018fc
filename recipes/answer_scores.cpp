#include "recipes/answer_scores.h"

#include <fmt/core.h>

#include <fstream>
#include <sstream>

#include "recipes/implicit_reward.h"
#include "recipes/parts.h"
#include "recipes/scorers.h"
#include "trainer/evaluate_text.h"
#include "trainer/generate/generate.h"
#include "trainer/hf_folder.h"
#include "trainer/passes.h"
#include "trainer/scored_model.h"

namespace lathe {
namespace {

// A rule or a program decides. What a rank's answers leave behind goes with its folder.
JsonLines verify_answers(const StageContext& c, const JsonLines& prompts,
                         const JsonLines& answers) {
  const SelfRewardConfig& config = c.config.self_reward;
  const auto make = [&](const std::vector<size_t>& places) {
    JsonLines lines;
    for (const size_t i : places) {
      const std::string expected = prompts[i].at("expected").get<std::string>();
      Line scores = Line::array();
      for (const Line& answer : answers[i].at("answers")) {
        const std::string text = answer.at("text").get<std::string>();
        scores.push_back(config.verifier == "command"
                             ? Line(verify_by_command(
                                   prompts[i].at("prompt").back().at("content").get<std::string>(),
                                   text, expected, config))
                             : number_or_null(verify(text, expected, config)));
      }
      lines.push_back({{"id", prompts[i].at("id")}, {"scores", scores}, {"failures", 0}});
    }
    return lines;
  };
  return share(c, make, prompts.size(), /*asks=*/false);
}

// What asks the model for judge_samples judgments of a text.
GenerateRequest judgment(const StageContext& c, const Model& model, const std::string& text,
                         uint64_t seed) {
  GenerateRequest request{.prompt = ids_of(c, {{{"user", text}}}, true),
                          .options = sampling_of(c, model.config()),
                          .samples = c.config.self_reward.judge_samples};
  request.options.seed = seed;
  return request;
}

// The model judges its own answers; all judgments of a rank run together.
JsonLines judge_answers(const StageContext& c, const JsonLines& prompts, const JsonLines& answers) {
  const SelfRewardConfig& config = c.config.self_reward;
  const std::string rubric = read_rubric(config);
  Model& model = c.models.get(c.model_folder);
  const auto make = [&](const std::vector<size_t>& places) {
    std::vector<GenerateRequest> requests;
    for (const size_t i : places) {
      const std::string question = prompts[i].at("prompt").back().at("content").get<std::string>();
      int64_t place = 0;
      for (const Line& answer : answers[i].at("answers")) {
        const std::string text = fill_in(
            rubric, Json{{"prompt", question}, {"response", answer.at("text").get<std::string>()}});
        const uint64_t seed = seed_of(c, prompts[i].at("id").get<int64_t>(), "judge");
        requests.push_back(judgment(c, model, text, seed + static_cast<uint64_t>(place++)));
      }
    }
    const std::vector<GenerateResult> results =
        generate(model, requests, {.tokenizer = &c.tokenizer, .meeting = meeting_of(c)});
    JsonLines lines;
    size_t next = 0;
    for (const size_t i : places) {
      Line scores = Line::array();
      int64_t failures = 0;
      for (size_t a = 0; a < answers[i].at("answers").size(); ++a) {
        std::vector<std::optional<double>> points;
        for (int64_t s = 0; s < config.judge_samples; ++s) {
          points.push_back(points_of(results[next++].text, config));
          failures += !points.back().has_value();
        }
        scores.push_back(number_or_null(aggregate(points, config)));
      }
      lines.push_back({{"id", prompts[i].at("id")}, {"scores", scores}, {"failures", failures}});
    }
    return lines;
  };
  return share(c, make, prompts.size());
}

// Every two answers of a prompt, each first once; all judgments of a rank run together.
JsonLines compare_answers(const StageContext& c, const JsonLines& prompts,
                          const JsonLines& answers) {
  const SelfRewardConfig& config = c.config.self_reward;
  const std::string rubric = read_rubric(config);
  Model& model = c.models.get(c.model_folder);
  const auto make = [&](const std::vector<size_t>& places) {
    std::vector<GenerateRequest> requests;
    for (const size_t i : places) {
      const std::string question = prompts[i].at("prompt").back().at("content").get<std::string>();
      const Line& texts = answers[i].at("answers");
      const int64_t n = std::ssize(texts);
      const uint64_t seed = seed_of(c, prompts[i].at("id").get<int64_t>(), "compare");
      for (int64_t place = 0; place < n * n; ++place) {
        const auto a = static_cast<size_t>(place / n), b = static_cast<size_t>(place % n);
        if (a == b) continue;
        const std::string text =
            fill_in(rubric, Json{{"prompt", question},
                                 {"response_a", texts.at(a).at("text").get<std::string>()},
                                 {"response_b", texts.at(b).at("text").get<std::string>()}});
        requests.push_back(judgment(c, model, text, seed + static_cast<uint64_t>(place)));
      }
    }
    const std::vector<GenerateResult> results =
        generate(model, requests, {.tokenizer = &c.tokenizer, .meeting = meeting_of(c)});
    JsonLines lines;
    size_t next = 0;
    for (const size_t i : places) {
      const int64_t n = std::ssize(answers[i].at("answers"));
      std::vector<Comparison> comparisons;
      int64_t failures = 0;
      for (int64_t a = 0; a < n; ++a) {
        for (int64_t b = 0; b < n; ++b) {
          if (a == b) continue;
          for (int64_t s = 0; s < config.judge_samples; ++s) {
            comparisons.push_back({a, b, s, winner_of(results[next++].text, config)});
            failures += !comparisons.back().first_wins.has_value();
          }
        }
      }
      const Standing standing = standing_of(comparisons, n);
      Line scores = Line::array();
      for (const auto& score : standing.scores) scores.push_back(number_or_null(score));
      lines.push_back({{"id", prompts[i].at("id")},
                       {"scores", scores},
                       {"failures", failures},
                       {"comparisons", standing.both_read},
                       {"consistent", standing.consistent},
                       {"first_wins", standing.first_wins}});
    }
    return lines;
  };
  return share(c, make, prompts.size());
}

JsonLines reward_answers(const StageContext& c, const JsonLines& prompts,
                         const JsonLines& answers) {
  const at::NoGradGuard no_grad;
  const std::string folder = resolve_model_folder(c.config.self_reward.reward_model_name_or_path);
  if (const Tokenizer other(folder); other.hash() != c.tokenizer.hash())
    throw std::invalid_argument("self_reward.reward_model_name_or_path: " + folder +
                                " has another tokenizer than the model");
  c.models.let_go();
  const at::Device device = c.mesh.device();
  std::unique_ptr<ScoredModel> loaded =
      ScoredModel::load(folder, compute_dtype(c.config.model.dtype, device), device, 0,
                        tensor_parallel(c.config.parallel, c.mesh));
  ScoredModel& model = *loaded;
  const FrozenModel frozen = freeze_model(std::move(loaded), c.config.parallel, c.mesh);
  const auto make = [&](const std::vector<size_t>& places) {
    Passes passes(meeting_of(c));
    JsonLines lines;
    for (const size_t i : places) {
      std::vector<std::vector<int64_t>> texts;
      std::vector<DocumentView> documents;
      for (const Line& answer : answers[i].at("answers")) {
        Conversation whole = conversation_of(prompts[i].at("prompt"));
        whole.messages.push_back({"assistant", answer.at("text").get<std::string>()});
        texts.push_back(ids_of(c, whole, false));
      }
      for (const auto& ids : texts) documents.push_back({ids.data(), nullptr, std::ssize(ids)});
      passes.announce();
      const at::Tensor scores_D = model.scores(make_batch(documents).to(device)).cpu();
      Line scores = Line::array();
      for (int64_t d = 0; d < scores_D.numel(); ++d) scores.push_back(scores_D[d].item<float>());
      lines.push_back({{"id", prompts[i].at("id")}, {"scores", scores}, {"failures", 0}});
    }
    passes.finish([&] { model.scores(make_batch({}).to(device)); });
    return lines;
  };
  return share(c, make, prompts.size());
}

}  // namespace

std::string read_rubric(const SelfRewardConfig& config) {
  const std::string& path = config.judge_prompt;
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in || text.str().empty())
    throw std::invalid_argument("self_reward.judge_prompt: " + path +
                                " can not be read, or is empty");
  const std::vector<const char*> parts =
      config.scorer == "pairwise_judge" ? std::vector{"{prompt}", "{response_a}", "{response_b}"}
                                        : std::vector{"{prompt}", "{response}"};
  for (const char* part : parts) {
    if (text.str().find(part) == std::string::npos)
      throw std::invalid_argument(
          fmt::format("self_reward.judge_prompt: {} has no {}", path, part));
  }
  return text.str();
}

JsonLines score_answers(const StageContext& c, const JsonLines& prompts, const JsonLines& answers) {
  const std::string& scorer = c.config.self_reward.scorer;
  if (scorer == "judge") return judge_answers(c, prompts, answers);
  if (scorer == "pairwise_judge") return compare_answers(c, prompts, answers);
  if (scorer == "reward_model") return reward_answers(c, prompts, answers);
  if (scorer == "implicit_reward") return implicit_rewards(c, prompts, answers);
  return verify_answers(c, prompts, answers);
}

}  // namespace lathe
