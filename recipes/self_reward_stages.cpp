#include "recipes/self_reward_stages.h"

#include <fmt/core.h>

#include <algorithm>

#include "data/corpus/corpus.h"
#include "data/loader/order.h"
#include "recipes/selectors.h"
#include "trainer/evaluate_text.h"
#include "trainer/generate/generate.h"

namespace lathe {
namespace {

std::vector<ScoredAnswer> scored_answers(const Line& texts, const Line& scores) {
  std::vector<ScoredAnswer> scored;
  for (size_t a = 0; a < texts.size(); ++a) {
    const Line& score = scores.at(a);
    scored.push_back({.score = score.is_null() ? std::nullopt : std::optional(score.get<double>()),
                      .length = num_characters(texts[a].at("text").get<std::string>()),
                      .cut = texts[a].at("finish") != "stop"});
  }
  return scored;
}

// The data's own answer, whose place is behind the model's, against each of these that is another.
std::vector<ChosenPair> gold_pairs(const Line& texts, const Line& gold,
                                   const SelfRewardConfig& config) {
  const auto length = num_characters(gold.get<std::string>());
  if (config.max_chosen_length > 0 && length > config.max_chosen_length) return {};
  std::vector<ChosenPair> pairs;
  for (int64_t a = 0; a < std::ssize(texts) && std::ssize(pairs) < config.pairs_per_prompt; ++a) {
    if (texts[static_cast<size_t>(a)].at("text") != gold) pairs.push_back({std::ssize(texts), a});
  }
  return pairs;
}

}  // namespace

JsonLines all_prompts(const std::vector<DataSource>& sources) {
  JsonLines prompts;
  for (const DataSource& source : sources) {
    for (const std::string& path : expand_paths(source.path)) {
      Reading reading = shape_named(source.shape);
      reading.columns = source.columns;
      reading.tags = source.tags;
      CorpusFile file(path, reading);
      while (const std::optional<Record> record = file.next()) {
        const auto* chat = std::get_if<ChatRecord>(&record->content);
        if (!chat || chat->conversation.messages.size() < 2 ||
            chat->conversation.messages.back().role != "assistant") {
          throw std::invalid_argument(
              fmt::format("{}:{}: self_reward needs conversations that end with the assistant's "
                          "turn, which is the expected answer",
                          path, record->line));
        }
        std::vector<Message> messages = chat->conversation.messages;
        const std::string expected = messages.back().content;
        messages.pop_back();
        prompts.push_back(
            {{"id", prompts.size()}, {"prompt", messages_of(messages)}, {"expected", expected}});
      }
    }
  }
  return prompts;
}

JsonLines prompts_of(const StageContext& c, const JsonLines& all) {
  const int64_t count = c.config.self_reward.prompts_per_iteration;
  if (count == 0) return all;
  const int64_t begin = c.iteration * count;
  if (begin + count > std::ssize(all)) {
    throw std::invalid_argument(fmt::format(
        "self_reward.prompts_per_iteration is {}, but data.train has {} prompts: too few for "
        "iteration {}",
        count, all.size(), c.iteration));
  }
  const Permutation order(all.size(), static_cast<uint64_t>(c.config.seed), 0);
  JsonLines chosen;
  for (int64_t k = begin; k < begin + count; ++k)
    chosen.push_back(all[order(static_cast<uint64_t>(k))]);
  std::sort(chosen.begin(), chosen.end(), [](const Line& a, const Line& b) {
    return a["id"].get<int64_t>() < b["id"].get<int64_t>();
  });
  return chosen;
}

JsonLines sample_answers(const StageContext& c, const JsonLines& prompts) {
  Model& model = c.models.get(c.model_folder);
  const auto make = [&](const std::vector<size_t>& places) {
    std::vector<GenerateRequest> requests;
    for (const size_t i : places) {
      GenerateRequest request{.prompt = ids_of(c, conversation_of(prompts[i].at("prompt")), true),
                              .options = sampling_of(c, model.config()),
                              .samples = c.config.self_reward.num_generations};
      request.options.seed = seed_of(c, prompts[i].at("id").get<int64_t>(), "sample");
      requests.push_back(std::move(request));
    }
    const std::vector<GenerateResult> results =
        generate(model, requests, {.tokenizer = &c.tokenizer, .meeting = meeting_of(c)});
    JsonLines lines;
    size_t next = 0;
    for (const size_t i : places) {
      Line answers = Line::array();
      for (int64_t s = 0; s < c.config.self_reward.num_generations; ++s) {
        const GenerateResult& result = results[next++];
        answers.push_back({{"text", result.text},
                           {"ids", result.ids},
                           {"logprob", result.logprob},
                           {"finish", finish_name(result.finish)}});
      }
      lines.push_back({{"id", prompts[i].at("id")}, {"answers", answers}});
    }
    return lines;
  };
  return share(c, make, prompts.size());
}

JsonLines select_answers(const StageContext& c, const JsonLines& prompts, const JsonLines& answers,
                         const JsonLines& scores) {
  const SelfRewardConfig& config = c.config.self_reward;
  JsonLines lines;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Line& texts = answers[i].at("answers");
    const Line gold = prompts[i].at("expected");
    // The data's own answer stands behind the model's.
    const auto own = std::ssize(texts);
    std::vector<ChosenPair> pairs;
    if (config.selector == "gold") {
      pairs = gold_pairs(texts, gold, config);
    } else {
      std::vector<ScoredAnswer> scored = scored_answers(texts, scores[i].at("scores"));
      if (config.add_gold)
        scored.push_back({.score = 1, .length = num_characters(gold.get<std::string>())});
      pairs =
          select_pairs(scored, config, seed_of(c, prompts[i].at("id").get<int64_t>(), "select"));
    }
    const auto turn = [&](int64_t place) {
      const Line& text = place == own ? gold : texts[static_cast<size_t>(place)].at("text");
      return Line::array({{{"role", "assistant"}, {"content", text}}});
    };
    for (const ChosenPair& pair : pairs) {
      Line line{{"id", prompts[i].at("id")}, {"prompt", prompts[i].at("prompt")}};
      if (pair.rejected < 0) {
        line["completion"] = turn(pair.chosen);
      } else {
        line["chosen"] = turn(pair.chosen);
        line["rejected"] = turn(pair.rejected);
      }
      line["places"] = {pair.chosen == own ? -1 : pair.chosen, pair.rejected};
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

}  // namespace lathe
