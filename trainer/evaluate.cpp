#include "trainer/evaluate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "data/chat/chat_format.h"
#include "trainer/evaluate_text.h"
#include "trainer/generate/generate.h"
#include "trainer/score.h"
#include "trainer/text_lines.h"
#include "trainer/token_ids.h"

namespace lathe {
namespace {

// Calls take(record) for each record of a file; false ends it.
void for_each_record(const std::string& path, const std::function<bool(const Json&)>& take) {
  bool going = true;
  for_each_line(path, [&](std::string_view line) {
    if (!going) return;
    const Json record = Json::parse(line);
    if (!record.is_object()) throw std::invalid_argument("a JSON object is expected");
    going = take(record);
  });
}

MetricValue mean_of(const std::string& name, const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = values.empty() ? 0 : sum / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {name, mean, n > 1 ? std::sqrt(squares / (n - 1) / n) : -1};
}

struct ChoiceItem {
  std::string id;
  int64_t gold = 0;
  std::vector<std::string> prompts, choices;
};

int64_t read_gold(const Json& record, const std::string& path) {
  const Json& gold = field_at(record, path);
  if (gold.is_number_integer()) return gold.get<int64_t>();
  const std::string letter = gold.is_string() ? gold.get<std::string>() : "";
  if (letter.size() == 1 && letter[0] >= 'A' && letter[0] <= 'Z') return letter[0] - 'A';
  throw std::invalid_argument("`" + path + "` is " + shown(gold) +
                              "; a number or a letter is expected");
}

void add_choices(ChoiceItem& item, const Json& record, const TaskConfig& task) {
  const std::string prompt = fill_in(task.prompt, record);
  if (task.choices.empty()) {
    item.prompts.push_back(prompt);
    item.choices.push_back(fill_in(task.choice, record));
    return;
  }
  Json with_choice = record;
  for (const Json& choice : field_at(record, task.choices)) {
    with_choice["choice"] = choice;
    item.prompts.push_back(prompt);
    item.choices.push_back(fill_in(task.choice, with_choice));
  }
}

std::vector<ChoiceItem> read_choices(const TaskConfig& task) {
  std::vector<ChoiceItem> items;
  std::map<std::string, size_t> place;  // of each group's item
  for_each_record(task.data, [&](const Json& record) {
    const std::string id =
        task.group.empty() ? std::to_string(items.size()) : field_at(record, task.group).dump();
    const auto [found, is_new] = place.emplace(id, items.size());
    if (is_new && task.limit > 0 && std::ssize(items) == task.limit) return false;
    if (is_new) items.push_back({id, read_gold(record, task.gold), {}, {}});
    ChoiceItem& item = items[found->second];
    if (read_gold(record, task.gold) != item.gold) {
      throw std::invalid_argument("`" + task.gold + "` differs from the item's other records");
    }
    add_choices(item, record, task);
    return true;
  });
  for (const ChoiceItem& item : items) {
    if (item.gold < 0 || item.gold >= std::ssize(item.choices)) {
      throw std::invalid_argument(task.data + ": item " + item.id + " has " +
                                  std::to_string(item.choices.size()) + " choices but `" +
                                  task.gold + "` says " + std::to_string(item.gold));
    }
  }
  return items;
}

// What is too long for the model loses its beginning.
ScoreRequest fitted(ScoreRequest request, int64_t most) {
  const int64_t over = std::ssize(request.ids) - most;
  if (over <= 0) return request;
  request.ids.erase(request.ids.begin(), request.ids.begin() + over);
  request.first = std::max<int64_t>(1, request.first - over);
  return request;
}

size_t best_of(const std::vector<double>& values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

TaskResult multiple_choice(Model& model, const Tokenizer& tokenizer, const TaskConfig& task) {
  const std::vector<ChoiceItem> items = read_choices(task);
  std::vector<ScoreRequest> requests;
  for (const ChoiceItem& item : items) {
    for (size_t c = 0; c < item.choices.size(); ++c) {
      requests.push_back(fitted(completion_request(tokenizer, item.prompts[c], item.choices[c]),
                                context_length(model.config())));
    }
  }
  const std::vector<Score> scores = score(model, requests);
  TaskResult result;
  std::vector<double> right, right_norm;
  auto next = scores.begin();
  for (const ChoiceItem& item : items) {
    std::vector<double> sums, norms;
    for (const std::string& choice : item.choices) {
      const size_t begin = std::min(choice.find_first_not_of(' '), choice.size());
      const int64_t length = num_characters(std::string_view(choice).substr(begin));
      sums.push_back((next++)->logprob);
      norms.push_back(sums.back() / static_cast<double>(std::max<int64_t>(1, length)));
    }
    const auto gold = static_cast<size_t>(item.gold);
    right.push_back(best_of(sums) == gold);
    right_norm.push_back(best_of(norms) == gold);
    result.item_lines.push_back(Json{
        {"item", item.id},
        {"gold", item.gold},
        {"logprobs", sums},
        {"acc", right.back()},
        {"acc_norm",
         right_norm.back()}}.dump());
  }
  result.items = std::ssize(items);
  result.metrics = {mean_of("acc", right), mean_of("acc_norm", right_norm)};
  return result;
}

struct Example {
  std::string prompt, target;
};

// The solved examples of the task, the same for every item.
std::vector<Example> read_examples(const TaskConfig& task) {
  std::vector<Example> examples;
  if (task.num_fewshot == 0) return examples;
  const std::string& path = task.fewshot_data.empty() ? task.data : task.fewshot_data;
  for_each_record(path, [&](const Json& record) {
    if (std::ssize(examples) == task.num_fewshot) return false;
    examples.push_back({fill_in(task.prompt, record), fill_in(task.target, record)});
    return true;
  });
  if (std::ssize(examples) < task.num_fewshot) {
    throw std::invalid_argument(path + ": holds " + std::to_string(examples.size()) +
                                " records, num_fewshot asks for " +
                                std::to_string(task.num_fewshot));
  }
  return examples;
}

std::vector<int64_t> prompt_ids(const Tokenizer& tokenizer, const TaskConfig& task,
                                const std::vector<Example>& examples, const std::string& prompt,
                                const std::optional<ChatFormat>& format) {
  std::vector<int32_t> ids;
  if (format) {
    Conversation turns;
    for (const Example& example : examples) {
      turns.messages.push_back({"user", example.prompt});
      turns.messages.push_back({"assistant", example.target});
    }
    turns.messages.push_back({"user", prompt});
    ids = tokenizer.encode(format->render(turns, true).text, false);
  } else {
    std::string text;
    for (const Example& example : examples)
      text += example.prompt + task.fewshot_delimiter + example.target + task.fewshot_separator;
    ids = tokenizer.encode(text + prompt, true);
  }
  return {ids.begin(), ids.end()};
}

TaskResult generated(Model& model, const Tokenizer& tokenizer, const std::vector<int64_t>& stop_ids,
                     const TaskConfig& task) {
  std::optional<ChatFormat> format;
  if (task.chat) format.emplace(tokenizer, "auto");
  const std::vector<Example> examples = read_examples(task);
  int64_t to_skip = task.fewshot_data.empty() ? std::ssize(examples) : 0;
  std::vector<GenerateRequest> requests;
  std::vector<std::string> targets;
  for_each_record(task.data, [&](const Json& record) {
    if (to_skip-- > 0) return true;
    if (task.limit > 0 && std::ssize(targets) == task.limit) return false;
    GenerateRequest request{
        .prompt = prompt_ids(tokenizer, task, examples, fill_in(task.prompt, record), format)};
    request.options.max_new_tokens = task.max_new_tokens;
    request.options.stop_ids = stop_ids;
    request.stop_strings = task.stop;
    check_prompt(request.prompt, model.config(), "the prompt");
    requests.push_back(std::move(request));
    targets.push_back(fill_in(task.target, record));
    return true;
  });
  const bool last = task.answer_match == "last";
  const AnswerRule of_answer{task.answer_pattern, last, task.remove, task.ignore_case},
      of_target{task.target_pattern, last, task.remove, task.ignore_case};
  const auto results = generate(model, requests, {.tokenizer = &tokenizer});
  TaskResult out;
  std::map<std::string, std::vector<double>> values;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string& text = results[i].text;
    const std::string answer = extract_answer(text, of_answer),
                      expected = extract_answer(targets[i], of_target);
    Json line = {{"item", i}, {"text", text}, {"answer", answer}, {"expected", expected}};
    for (const std::string& metric : task.metrics) {
      const double value = metric == "rouge_l" ? rouge_l(answer, expected) : answer == expected;
      values[metric].push_back(value);
      line[metric] = value;
    }
    out.item_lines.push_back(line.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  out.items = std::ssize(results);
  for (const std::string& metric : task.metrics) {
    out.metrics.push_back(mean_of(metric, values[metric]));
  }
  return out;
}

// Requests of which each scores what comes after what the one before has scored.
std::vector<ScoreRequest> windows(const ScoreRequest& whole, int64_t most) {
  std::vector<ScoreRequest> out;
  const int64_t length = std::ssize(whole.ids);
  // The first has of the prompt what there is room for.
  for (int64_t next = whole.first; next < length;) {
    const int64_t most_end =
        out.empty() ? std::max(most, next + std::max<int64_t>(1, most / 2)) : next + most - 1;
    const int64_t end = std::min(length, most_end);
    const int64_t begin = out.empty() ? std::max<int64_t>(0, end - most) : next - 1;
    out.push_back({{whole.ids.begin() + begin, whole.ids.begin() + end}, next - begin});
    next = end;
  }
  return out;
}

// A text is scored from its first token where something can stand before it.
ScoreRequest whole_text(const Tokenizer& tokenizer, const std::string& prompt,
                        const std::string& target) {
  ScoreRequest request = completion_request(tokenizer, prompt, target);
  const std::optional<int32_t> start = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
  const bool has_start = !request.ids.empty() && start && request.ids.front() == *start;
  if (prompt.empty() && start && !has_start) request.ids.insert(request.ids.begin(), *start);
  return request;
}

TaskResult perplexity(Model& model, const Tokenizer& tokenizer, const TaskConfig& task) {
  std::vector<ScoreRequest> requests;
  std::vector<size_t> bytes, num_windows;
  for_each_record(task.data, [&](const Json& record) {
    if (task.limit > 0 && std::ssize(bytes) == task.limit) return false;
    const std::string target = fill_in(task.target, record);
    const auto parts = windows(whole_text(tokenizer, fill_in(task.prompt, record), target),
                               context_length(model.config()));
    requests.insert(requests.end(), parts.begin(), parts.end());
    bytes.push_back(target.size());
    num_windows.push_back(parts.size());
    return true;
  });
  const std::vector<Score> scores = score(model, requests);
  TaskResult out;
  double sum = 0, num_tokens = 0, num_bytes = 0;
  auto next = scores.begin();
  for (size_t i = 0; i < bytes.size(); ++i) {
    double logprob = 0;
    size_t tokens = 0;
    for (size_t w = 0; w < num_windows[i]; ++w, ++next) {
      logprob += next->logprob;
      tokens += next->logprobs.size();
    }
    sum += logprob;
    num_tokens += static_cast<double>(tokens);
    num_bytes += static_cast<double>(bytes[i]);
    out.item_lines.push_back(
        Json{{"item", i}, {"logprob", logprob}, {"tokens", tokens}, {"bytes", bytes[i]}}.dump());
  }
  out.items = std::ssize(bytes);
  const auto per = [&](double count) { return count > 0 ? -sum / count : 0; };
  out.metrics = {{"token_perplexity", std::exp(per(num_tokens))},
                 {"byte_perplexity", std::exp(per(num_bytes))},
                 {"bits_per_byte", per(num_bytes) / std::log(2.0)},
                 {"tokens", num_tokens},
                 {"bytes", num_bytes}};
  return out;
}

}  // namespace

std::vector<Conflict> conflicts(const TaskConfig& config) {
  std::vector<Conflict> found;
  const auto require = [&](bool good, const std::string& key, const std::string& reason) {
    if (!good) found.push_back({{"kind", key}, reason});
  };
  if (config.kind == "multiple_choice") {
    require(!config.gold.empty(), "gold", "multiple_choice needs gold");
    require(config.choices.empty() != config.group.empty(), "choices",
            "multiple_choice needs one of choices and group");
  } else {
    require(!config.target.empty(), "target", config.kind + " needs target");
  }
  require(config.num_fewshot == 0 || config.kind == "generate", "num_fewshot",
          "examples are put before prompts of kind generate only; write them into `prompt`");
  if (config.kind == "generate") {
    require(!config.metrics.empty(), "metrics", "generate needs a metric");
    for (const std::string& metric : config.metrics) {
      require(metric == "exact_match" || metric == "rouge_l", "metrics",
              "`" + metric + "` is not a metric; expected exact_match or rouge_l");
    }
  }
  return found;
}

TaskResult evaluate(Model& model, const Tokenizer& tokenizer, const std::vector<int64_t>& stop_ids,
                    const TaskConfig& task) {
  TaskResult result = task.kind == "multiple_choice" ? multiple_choice(model, tokenizer, task)
                      : task.kind == "generate"      ? generated(model, tokenizer, stop_ids, task)
                                                     : perplexity(model, tokenizer, task);
  if (result.items == 0) throw std::invalid_argument(task.data + " holds no item");
  return result;
}

}  // namespace lathe
