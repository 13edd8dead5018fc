#include "recipes/self_reward_stages.h"

#include <fmt/core.h>

#include <algorithm>

#include "data/corpus/corpus.h"
#include "data/loader/order.h"
#include "recipes/selectors.h"
#include "trainer/evaluate_text.h"
#include "trainer/generate/generate.h"

namespace lathe {

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
  const std::unique_ptr<Model> model = load_stage_model(c, c.model_folder);
  const auto make = [&](const std::vector<size_t>& places) {
    std::vector<GenerateRequest> requests;
    for (const size_t i : places) {
      GenerateRequest request{.prompt = ids_of(c, conversation_of(prompts[i].at("prompt")), true),
                              .options = sampling_of(c, model->config()),
                              .samples = c.config.self_reward.num_generations};
      request.options.seed = seed_of(c, prompts[i].at("id").get<int64_t>(), "sample");
      requests.push_back(std::move(request));
    }
    const std::vector<GenerateResult> results =
        generate(*model, requests, {.tokenizer = &c.tokenizer});
    JsonLines lines;
    size_t next = 0;
    for (const size_t i : places) {
      Line answers = Line::array();
      for (int64_t s = 0; s < c.config.self_reward.num_generations; ++s) {
        const GenerateResult& result = results[next++];
        answers.push_back({{"text", result.text},
                           {"tokens", result.ids.size()},
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
  JsonLines lines;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Line& texts = answers[i].at("answers");
    std::vector<ScoredAnswer> scored;
    for (size_t a = 0; a < texts.size(); ++a) {
      const Line& score = scores[i].at("scores").at(a);
      scored.push_back(
          {.score = score.is_null() ? std::nullopt : std::optional(score.get<double>()),
           .length = num_characters(texts[a].at("text").get<std::string>()),
           .cut = texts[a].at("finish") != "stop"});
    }
    const int64_t id = prompts[i].at("id").get<int64_t>();
    if (c.config.self_reward.selector == "gold") {
      const std::string gold = prompts[i].at("expected").get<std::string>();
      int64_t kept = 0;
      for (size_t a = 0; a < texts.size() && kept < c.config.self_reward.pairs_per_prompt; ++a) {
        if (texts[a].at("text") == gold) continue;  // nothing to tell apart
        const auto turn = [](const Line& text) {
          return Line::array({{{"role", "assistant"}, {"content", text}}});
        };
        lines.push_back({{"id", id},
                         {"prompt", prompts[i].at("prompt")},
                         {"chosen", turn(gold)},
                         {"rejected", turn(texts[a].at("text"))},
                         {"places", {-1, a}}});
        ++kept;
      }
      continue;
    }
    for (const ChosenPair& pair :
         select_pairs(scored, c.config.self_reward, seed_of(c, id, "select"))) {
      const auto turn = [&](int64_t place) {
        return Line::array(
            {{{"role", "assistant"}, {"content", texts[static_cast<size_t>(place)].at("text")}}});
      };
      Line line{{"id", id}, {"prompt", prompts[i].at("prompt")}};
      if (pair.rejected < 0) {
        line["completion"] = turn(pair.chosen);
      } else {
        line["chosen"] = turn(pair.chosen);
        line["rejected"] = turn(pair.rejected);
      }
      line["places"] = {pair.chosen, pair.rejected};
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

}  // namespace lathe
