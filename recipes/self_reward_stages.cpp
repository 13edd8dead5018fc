#include "recipes/self_reward_stages.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>

#include "data/corpus/corpus.h"
#include "data/loader/order.h"
#include "recipes/parts.h"
#include "recipes/scorers.h"
#include "recipes/selectors.h"
#include "trainer/agree.h"
#include "trainer/evaluate_text.h"
#include "trainer/generate/generate.h"
#include "trainer/generate/generation_config.h"
#include "trainer/hf_folder.h"
#include "trainer/philox.h"
#include "trainer/scored_model.h"

namespace lathe {
namespace {

using Line = nlohmann::ordered_json;

Line messages_of(const std::vector<Message>& messages) {
  Line list = Line::array();
  for (const Message& message : messages)
    list.push_back({{"role", message.role}, {"content", message.content}});
  return list;
}

Conversation conversation_of(const Line& messages) {
  Conversation conversation;
  for (const Line& message : messages)
    conversation.messages.push_back(
        {message.at("role").get<std::string>(), message.at("content").get<std::string>()});
  return conversation;
}

std::vector<int64_t> ids_of(const StageContext& c, const Conversation& conversation,
                            bool generation_prompt) {
  const std::vector<int32_t> ids =
      c.tokenizer.encode(c.format.render(conversation, generation_prompt).text, false);
  return {ids.begin(), ids.end()};
}

// A function of (seed, iteration, id) and what it is for.
uint64_t seed_of(const StageContext& c, int64_t id, const char* purpose) {
  const auto bits = philox(static_cast<uint64_t>(c.config.seed), static_cast<uint64_t>(id),
                           hash_name(purpose) + static_cast<uint64_t>(c.iteration));
  return uint64_t{bits[0]} << 32 | bits[1];
}

SamplingOptions sampling_of(const StageContext& c, const ModelConfig& model) {
  const SelfRewardConfig& config = c.config.self_reward;
  return {.max_new_tokens = config.max_new_tokens,
          .temperature = config.temperature,
          .top_p = config.top_p,
          .stop_ids = stop_ids_of(c.model_folder, model)};
}

std::unique_ptr<Model> load_current(const StageContext& c) {
  return load_model(c.model_folder, compute_dtype(c.config.model.dtype, c.world.device()),
                    c.world.device());
}

// Every rank's lines, in the order of their ids, on every rank.
JsonLines gather(Group& world, const JsonLines& mine) {
  JsonLines all;
  for (const std::string& text : gather_bytes(world, dump_lines(mine))) {
    for (Line& line : parse_lines(text)) all.push_back(std::move(line));
  }
  std::sort(all.begin(), all.end(), [](const Line& a, const Line& b) {
    return a["id"].get<int64_t>() < b["id"].get<int64_t>();
  });
  return all;
}

// This rank's part of the lines; what it makes of them is gathered.
JsonLines share(const StageContext& c,
                const std::function<JsonLines(const std::vector<size_t>&)>& make, size_t count) {
  JsonLines mine;
  together(c.world, [&] {
    std::vector<size_t> places;
    for (auto i = static_cast<size_t>(c.world.rank()); i < count;
         i += static_cast<size_t>(c.world.size()))
      places.push_back(i);
    mine = make(places);
  });
  return gather(c.world, mine);
}

Line number_or_null(const std::optional<double>& value) { return value ? Line(*value) : Line(); }

// A rule or a program decides. What a rank's answers leave behind goes with its folder.
JsonLines verify_answers(const StageContext& c, const JsonLines& prompts, const JsonLines& answers) {
  const SelfRewardConfig& config = c.config.self_reward;
  const auto make = [&](const std::vector<size_t>& places) {
    JsonLines lines;
    for (const size_t i : places) {
      const std::string expected = prompts[i].at("expected").get<std::string>();
      Line scores = Line::array();
      for (const Line& answer : answers[i].at("answers")) {
        const std::string text = answer.at("text").get<std::string>();
        scores.push_back(config.verifier == "command"
                             ? Line(verify_by_command(prompts[i].at("prompt").back().at("content").get<std::string>(),
                                                      text, expected, config))
                             : number_or_null(verify(text, expected, config)));
      }
      lines.push_back({{"id", prompts[i].at("id")}, {"scores", scores}, {"failures", 0}});
    }
    return lines;
  };
  return share(c, make, prompts.size());
}

// The model judges its own answers; all judgments of a rank run together.
JsonLines judge_answers(const StageContext& c, const JsonLines& prompts, const JsonLines& answers) {
  const SelfRewardConfig& config = c.config.self_reward;
  const std::string rubric = read_rubric(config);
  const std::unique_ptr<Model> model = load_current(c);
  const auto make = [&](const std::vector<size_t>& places) {
    std::vector<GenerateRequest> requests;
    for (const size_t i : places) {
      const std::string question = prompts[i].at("prompt").back().at("content").get<std::string>();
      int64_t place = 0;
      for (const Line& answer : answers[i].at("answers")) {
        const std::string text = fill_in(
            rubric, Json{{"prompt", question}, {"response", answer.at("text").get<std::string>()}});
        GenerateRequest request{.prompt = ids_of(c, {{{"user", text}}}, true),
                                .options = sampling_of(c, model->config()),
                                .samples = config.judge_samples};
        request.options.seed = seed_of(c, prompts[i].at("id").get<int64_t>(), "judge") +
                               static_cast<uint64_t>(place++);
        requests.push_back(std::move(request));
      }
    }
    const std::vector<GenerateResult> results =
        generate(*model, requests, {.tokenizer = &c.tokenizer});
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
JsonLines compare_answers(const StageContext& c, const JsonLines& prompts, const JsonLines& answers) {
  const SelfRewardConfig& config = c.config.self_reward;
  const std::string rubric = read_rubric(config);
  const std::unique_ptr<Model> model = load_current(c);
  const int64_t n = config.num_generations;
  const auto make = [&](const std::vector<size_t>& places) {
    std::vector<GenerateRequest> requests;
    for (const size_t i : places) {
      const std::string question = prompts[i].at("prompt").back().at("content").get<std::string>();
      const Line& texts = answers[i].at("answers");
      const uint64_t seed = seed_of(c, prompts[i].at("id").get<int64_t>(), "compare");
      for (int64_t place = 0; place < n * n; ++place) {
        const auto a = static_cast<size_t>(place / n), b = static_cast<size_t>(place % n);
        if (a == b) continue;
        const std::string text = fill_in(rubric, Json{{"prompt", question},
                                                      {"response_a", texts.at(a).at("text").get<std::string>()},
                                                      {"response_b", texts.at(b).at("text").get<std::string>()}});
        GenerateRequest request{.prompt = ids_of(c, {{{"user", text}}}, true),
                                .options = sampling_of(c, model->config()),
                                .samples = config.judge_samples};
        request.options.seed = seed + static_cast<uint64_t>(place);
        requests.push_back(std::move(request));
      }
    }
    const std::vector<GenerateResult> results = generate(*model, requests, {.tokenizer = &c.tokenizer});
    JsonLines lines;
    size_t next = 0;
    for (const size_t i : places) {
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
  const auto model = ScoredModel::load(
      folder, compute_dtype(c.config.model.dtype, c.world.device()), c.world.device(), 0);
  const auto make = [&](const std::vector<size_t>& places) {
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
      const at::Tensor scores_D = model->scores(make_batch(documents).to(c.world.device())).cpu();
      Line scores = Line::array();
      for (int64_t d = 0; d < scores_D.numel(); ++d) scores.push_back(scores_D[d].item<float>());
      lines.push_back({{"id", prompts[i].at("id")}, {"scores", scores}, {"failures", 0}});
    }
    return lines;
  };
  return share(c, make, prompts.size());
}

double mean(const std::vector<double>& values) {
  return values.empty() ? 0
                        : std::accumulate(values.begin(), values.end(), 0.0) /
                              static_cast<double>(values.size());
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
  const std::vector<const char*> parts = config.scorer == "pairwise_judge"
                                             ? std::vector{"{prompt}", "{response_a}", "{response_b}"}
                                             : std::vector{"{prompt}", "{response}"};
  for (const char* part : parts) {
    if (text.str().find(part) == std::string::npos)
      throw std::invalid_argument(
          fmt::format("self_reward.judge_prompt: {} has no {}", path, part));
  }
  return text.str();
}

std::string dump_lines(const JsonLines& lines) {
  std::string text;
  for (const Line& line : lines)
    text += line.dump(-1, ' ', false, Line::error_handler_t::replace) + "\n";
  return text;
}

JsonLines parse_lines(const std::string& text) {
  JsonLines lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(Line::parse(line));
  return lines;
}

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
  const std::unique_ptr<Model> model = load_current(c);
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

JsonLines score_answers(const StageContext& c, const JsonLines& prompts, const JsonLines& answers) {
  const std::string& scorer = c.config.self_reward.scorer;
  if (scorer == "judge") return judge_answers(c, prompts, answers);
  if (scorer == "pairwise_judge") return compare_answers(c, prompts, answers);
  if (scorer == "reward_model") return reward_answers(c, prompts, answers);
  return verify_answers(c, prompts, answers);
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
        const auto turn = [](const Line& text) { return Line::array({{{"role", "assistant"}, {"content", text}}}); };
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

Line describe(const JsonLines& prompts, const JsonLines& answers, const JsonLines& scores,
              const JsonLines& pairs) {
  std::vector<double> all_scores, all_lengths, chosen_lengths, rejected_lengths;
  std::map<std::string, int64_t> histogram;
  int64_t comparisons = 0, consistent = 0, first_wins = 0;
  int64_t stops = 0, failures = 0, unscored = 0, texts = 0, with_pair = 0, ties = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    std::vector<double> own;
    for (const Line& answer : answers[i].at("answers")) {
      ++texts;
      stops += answer.at("finish") == "stop";
      all_lengths.push_back(
          static_cast<double>(num_characters(answer.at("text").get<std::string>())));
    }
    failures += scores[i].at("failures").get<int64_t>();
    comparisons += scores[i].value("comparisons", int64_t{0});
    consistent += scores[i].value("consistent", int64_t{0});
    first_wins += scores[i].value("first_wins", int64_t{0});
    for (const Line& score : scores[i].at("scores")) {
      unscored += score.is_null();
      if (score.is_null()) continue;
      own.push_back(score.get<double>());
      ++histogram[fmt::format("{:.2f}", own.back())];
    }
    ties += !own.empty() &&
            *std::max_element(own.begin(), own.end()) == *std::min_element(own.begin(), own.end());
    all_scores.insert(all_scores.end(), own.begin(), own.end());
  }
  int64_t last = -1;
  for (const Line& pair : pairs) {
    with_pair += pair.at("id").get<int64_t>() != last;
    last = pair.at("id").get<int64_t>();
    const auto length = [&](const char* key) {
      return static_cast<double>(
          num_characters(pair.at(key).at(0).at("content").get<std::string>()));
    };
    chosen_lengths.push_back(length(pair.contains("chosen") ? "chosen" : "completion"));
    if (pair.contains("rejected")) rejected_lengths.push_back(length("rejected"));
  }
  Line samples = Line::array();
  for (size_t i = 0; i < std::min<size_t>(3, prompts.size()); ++i) {
    samples.push_back({{"prompt", prompts[i].at("prompt").back().at("content")},
                       {"answer", answers[i].at("answers").at(0).at("text")},
                       {"score", scores[i].at("scores").at(0)}});
  }
  const auto share = [](int64_t part, size_t of) {
    return of == 0 ? 0 : static_cast<double>(part) / static_cast<double>(of);
  };
  Line facts{{"prompts", prompts.size()},
          {"answers", texts},
          {"pairs", pairs.size()},
          {"prompts_with_pair", with_pair},
          {"tie_share", share(ties, prompts.size())},
          {"mean_score", mean(all_scores)},
          {"score_histogram", histogram},
          {"unscored", unscored},
          {"parse_failures", failures},
          {"eos_rate", share(stops, static_cast<size_t>(texts))},
          {"mean_length", mean(all_lengths)},
          {"mean_length_chosen", mean(chosen_lengths)},
          {"mean_length_rejected", mean(rejected_lengths)},
          {"samples", samples}};
  if (comparisons > 0) {
    facts["comparisons"] = comparisons;
    facts["order_consistency"] = share(consistent, static_cast<size_t>(comparisons));
    facts["first_position_wins"] = share(first_wins, static_cast<size_t>(2 * comparisons));
  }
  return facts;
}

}  // namespace lathe
