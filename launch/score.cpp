// lathe score --model DIR --input F.jsonl [--logits OUT.safetensors]
#include "trainer/score.h"

#include <fmt/core.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/model_arguments.h"
#include "launch/run_verb.h"
#include "trainer/safetensors.h"
#include "trainer/text_lines.h"
#include "trainer/token_ids.h"

namespace lathe {
namespace {

using json = nlohmann::ordered_json;

std::string text_of(const json& record, const char* key) {
  if (!record.at(key).is_string())
    throw std::invalid_argument(std::string("`") + key + "` is not a string");
  return record.at(key);
}

// One line of --input: {"input_ids"}, {"text"} or {"prompt", "completion"}.
ScoreRequest read_request(const json& record, const LoadedModel& loaded) {
  if (record.contains("input_ids")) return {record["input_ids"].get<std::vector<int64_t>>()};
  if (record.contains("text")) return text_request(loaded.tokenizer(), text_of(record, "text"));
  if (record.contains("prompt") && record.contains("completion")) {
    return completion_request(loaded.tokenizer(), text_of(record, "prompt"),
                              text_of(record, "completion"));
  }
  throw std::invalid_argument(
      "expected an object with `input_ids`, `text`, or `prompt` and `completion`");
}

std::vector<ScoreRequest> read_requests(const std::string& path, const LoadedModel& loaded) {
  std::vector<ScoreRequest> requests;
  for_each_line(path, [&](std::string_view line) {
    requests.push_back(read_request(json::parse(line), loaded));
    check_token_ids(requests.back().ids, loaded.model->config(), "the record");
  });
  return requests;
}

// Asked for one at a time: the logits of many records need not exist together.
void write_logits(const std::string& path, Model& model,
                  const std::vector<ScoreRequest>& requests) {
  std::vector<TensorSpec> specs;
  for (size_t i = 0; i < requests.size(); ++i) {
    specs.push_back(
        {std::to_string(i), at::kFloat, {std::ssize(requests[i].ids), model.config().vocab_size}});
  }
  write_safetensors(path, specs, [&](const std::string& name) {
    return logits_of(model, requests[std::stoull(name)].ids);
  });
}

}  // namespace

int score_verb(int argc, char** argv) {
  ModelArguments model_arguments;
  std::string input, logits;
  Arguments arguments("score", "Tells how likely a model finds texts: JSON lines in and out.");
  model_arguments.add_to(arguments);
  arguments.option("--input", input,
                   "JSON lines with `input_ids`, `text`, or `prompt` and `completion`", true);
  arguments.option("--logits", logits,
                   "write the logits of record i as tensor `i` of this safetensors file");
  if (!arguments.parse(argc, argv)) return kDone;
  const LoadedModel loaded = model_arguments.load();
  const std::vector<ScoreRequest> requests = read_requests(input, loaded);
  for (const Score& result : score(*loaded.model, requests)) {
    const json line = {{"logprob", result.logprob},
                       {"tokens", result.logprobs.size()},
                       {"logprobs", result.logprobs}};
    std::cout << line.dump() << '\n';
  }
  if (!logits.empty()) write_logits(logits, *loaded.model, requests);
  return kDone;
}

}  // namespace lathe
