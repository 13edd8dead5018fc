#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenize/tokenizer.h"
#include "trainer/config.h"
#include "trainer/model.h"

// Measuring a model on a task: a file of records, what of them is asked, and how answers are
// judged. Every item counts exactly once; nothing is random.
namespace lathe {

struct TaskConfig {
  std::string name, kind, data;
  int64_t limit = 0;
  std::string prompt, target;
  std::string group, choices, choice = " {choice}", gold;
  bool chat = false;
  int64_t num_fewshot = 0;
  std::string fewshot_data, fewshot_delimiter = " ", fewshot_separator = "\n\n";
  int64_t max_new_tokens = 256;
  std::vector<std::string> stop, metrics = {"exact_match"};
  std::string answer_pattern, target_pattern, answer_match = "last";
  std::vector<std::string> remove;
  bool ignore_case = false;
};

template <class V>
void fields(V& v, TaskConfig& c) {
  v("name", c.name, "of the task, for the report", required());
  v("kind", c.kind, "what is measured",
    required(one_of({"multiple_choice", "generate", "perplexity"})));
  v("data", c.data, "file of records, one JSON object a line; plain, .gz or .zst", required());
  v("limit", c.limit, "take the first so many items only; 0: all", at_least(0));
  v("prompt", c.prompt,
    "what the model is given; {field} and {field.inner} stand for the record's");
  v("target", c.target, "generate: the expected answer; perplexity: the text that is scored");
  v("choices", c.choices, "multiple_choice: field with the list of choices");
  v("group", c.group,
    "multiple_choice: records that are equal in this field are one item, each a choice");
  v("choice", c.choice, "multiple_choice: what is scored; {choice} is the entry of `choices`");
  v("gold", c.gold, "multiple_choice: field with the right choice, from 0 or as a letter");
  v("chat", c.chat, "generate: put the prompt as a user's turn into the chat template");
  v("num_fewshot", c.num_fewshot,
    "generate: solved examples before each prompt, the first so many of `fewshot_data`",
    at_least(0));
  v("fewshot_data", c.fewshot_data,
    "file of the examples; without it they are the first records of `data`, no items then");
  v("fewshot_delimiter", c.fewshot_delimiter, "stands between an example's prompt and its target");
  v("fewshot_separator", c.fewshot_separator, "stands behind each example");
  v("max_new_tokens", c.max_new_tokens, "generate: tokens at most", at_least(1));
  v("stop", c.stop, "generate: texts that end an answer");
  v("metrics", c.metrics, "generate: exact_match, rouge_l");
  v("answer_pattern", c.answer_pattern,
    "generate: regular expression of the answer in what the model says (its first group)");
  v("target_pattern", c.target_pattern, "generate: the same for the target");
  v("answer_match", c.answer_match, "generate: which match of the pattern is the answer",
    one_of({"first", "last"}));
  v("remove", c.remove, "generate: regular expressions of what does not count in answers");
  v("ignore_case", c.ignore_case, "generate: capital letters do not count");
}

std::vector<Conflict> conflicts(const TaskConfig& config);

struct MetricValue {
  std::string name;
  double value = 0;
  double standard_error = -1;  // of a mean over items; below 0: there is none
};

struct TaskResult {
  int64_t items = 0;
  std::vector<MetricValue> metrics;
  std::vector<std::string> item_lines;  // JSON, one an item in the order of the file
};

// multiple_choice: acc (the choice of the highest probability) and acc_norm (highest per character
//   of the choice), as the Language Model Evaluation Harness has them.
// generate: greedy answers; exact_match after extraction, ROUGE-L. Examples stand before the prompt
//   as text, or with `chat` as earlier turns.
// perplexity: of `target` after `prompt`, per token and byte; what is longer than the model's
//   context is scored in windows, each token once.
// stop_ids: what ends an answer. std::invalid_argument names file and line of a bad record.
TaskResult evaluate(Model& model, const Tokenizer& tokenizer, const std::vector<int64_t>& stop_ids,
                    const TaskConfig& task);

}  // namespace lathe
