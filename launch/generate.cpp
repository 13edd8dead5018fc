// lathe generate --model DIR (--prompt TEXT | --input F.jsonl)
#include <fmt/core.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/tokenize/chat_format.h"
#include "data/tokenize/tokenizer.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/run_verb.h"
#include "recipes/parts.h"
#include "trainer/generate/generate.h"
#include "trainer/hf_folder.h"
#include "trainer/lora.h"

namespace lathe {
namespace {

using json = nlohmann::ordered_json;

struct GenerateArguments {
  std::string model, adapter, prompt, input, dtype = "auto", chat_template = "auto";
  bool chat = false;
  int64_t max_new_tokens = 128, top_k = 0, seed = 0;
  double temperature = 0, top_p = 1, min_p = 0, repetition_penalty = 1;
};

SamplingOptions sampling(const GenerateArguments& arguments, const Model& model) {
  SamplingOptions options;
  options.max_new_tokens = arguments.max_new_tokens;
  options.temperature = arguments.temperature;
  options.top_k = arguments.top_k;
  options.top_p = arguments.top_p;
  options.min_p = arguments.min_p;
  options.repetition_penalty = arguments.repetition_penalty;
  options.seed = static_cast<uint64_t>(arguments.seed);
  options.stop_ids = model.config().eos_token_id;
  return options;
}

std::vector<int64_t> prompt_ids(const Tokenizer& tokenizer, const std::string& text, bool add_special_tokens) {
  const std::vector<int32_t> ids = tokenizer.encode(text, add_special_tokens);
  return {ids.begin(), ids.end()};
}

std::vector<int64_t> chat_ids(const Tokenizer& tokenizer, const Conversation& conversation, const std::string& name) {
  const ChatFormat format(tokenizer, name);
  return prompt_ids(tokenizer, format.render(conversation, /*generation_prompt=*/true).text, false);
}

// messages, and what else the template may ask for: tools, documents, chat_template_kwargs.
Conversation read_conversation(const json& record) {
  Conversation conversation;
  for (const json& message : record.at("messages")) {
    const json content = message.value("content", json());
    conversation.messages.push_back(
        {.role = message.at("role"), .content = content.is_null() ? "" : content.get<std::string>(), .extra_json = message.dump()});
  }
  json variables = record.value("chat_template_kwargs", json::object());
  for (const char* name : {"tools", "documents"}) {
    if (record.contains(name)) variables[name] = record[name];
  }
  conversation.variables_json = variables.dump();
  return conversation;
}

// One line of --input: {"prompt"}, {"messages"} or {"input_ids"}.
std::vector<int64_t> record_ids(const json& record, const Tokenizer& tokenizer, const std::string& chat_template) {
  if (record.contains("input_ids")) return record["input_ids"].get<std::vector<int64_t>>();
  if (record.contains("messages")) return chat_ids(tokenizer, read_conversation(record), chat_template);
  if (record.contains("prompt")) return prompt_ids(tokenizer, record["prompt"].get<std::string>(), true);
  throw std::invalid_argument("found none of `prompt`, `messages`, `input_ids`");
}

std::vector<GenerateRequest> read_requests(const GenerateArguments& arguments, const Tokenizer& tokenizer,
                                           const SamplingOptions& options) {
  std::ifstream in(arguments.input);
  if (!in) throw std::invalid_argument("--input " + arguments.input + " can not be opened");
  std::vector<GenerateRequest> requests;
  int64_t line_number = 0;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      GenerateRequest request{.prompt = record_ids(json::parse(line), tokenizer, arguments.chat_template), .options = options};
      request.options.seed += requests.size();
      requests.push_back(std::move(request));
    } catch (const std::exception& error) {
      throw std::invalid_argument(fmt::format("{}:{}: {}; expected one JSON object a line with `prompt` (text), `messages` or "
                                              "`input_ids`",
                                              arguments.input, line_number, error.what()));
    }
  }
  return requests;
}

void answer_file(Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests) {
  for (const GenerateResult& result : generate(model, requests)) {
    const std::string text = tokenizer.decode({result.ids.begin(), result.ids.end()}, true);
    const json line = {{"text", text},
                       {"ids", result.ids},
                       {"logprob", result.logprob},
                       {"finish", result.finish == GenerateResult::Finish::kStop ? "stop" : "length"}};
    std::cout << line.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
  }
}

void answer_person(Model& model, const Tokenizer& tokenizer, const GenerateArguments& arguments, const SamplingOptions& options) {
  GenerateRequest request{.prompt = {}, .options = options};
  request.prompt = arguments.chat ? chat_ids(tokenizer, {{{"user", arguments.prompt}}}, arguments.chat_template)
                                  : prompt_ids(tokenizer, arguments.prompt, true);
  StreamDecoder decoder(tokenizer);
  if (!arguments.chat) std::cout << arguments.prompt << std::flush;
  generate(model, {request}, 1, [&](size_t, int64_t id) { std::cout << decoder.push(static_cast<int32_t>(id)) << std::flush; });
  std::cout << decoder.finish() << std::endl;
}

}  // namespace

int generate_verb(int argc, char** argv) {
  GenerateArguments a;
  Arguments arguments("generate", "Continues a prompt, or answers questions from a file (JSON lines in and out).");
  arguments.option("--model", a.model, "Hugging Face folder", true);
  arguments.option("--adapter", a.adapter, "folder of a PEFT adapter to put on the model");
  arguments.option("--prompt", a.prompt, "text to continue; with --chat, a question to answer");
  arguments.option("--input", a.input, "JSON lines with `prompt`, `messages` or `input_ids`");
  arguments.flag("--chat", a.chat, "put --prompt as a user's turn into the chat template");
  arguments.option("--chat-template", a.chat_template, "auto: the model's own, else chatml; or a built-in name, or a .jinja file");
  arguments.option("--max-new-tokens", a.max_new_tokens, "tokens at most");
  arguments.option("--temperature", a.temperature, "0: greedy");
  arguments.option("--top-k", a.top_k, "sample among the k likeliest; 0: off");
  arguments.option("--top-p", a.top_p, "sample among the likeliest that hold this share");
  arguments.option("--min-p", a.min_p, "leave out what is less likely than this share of the likeliest");
  arguments.option("--repetition-penalty", a.repetition_penalty, "above 1: what was said becomes less likely");
  arguments.option("--seed", a.seed, "of the sampling");
  arguments.option("--dtype", a.dtype, "fp32, bf16 or auto");
  if (!arguments.parse(argc, argv)) return kDone;
  if (a.prompt.empty() == a.input.empty()) throw UsageError("lathe generate: give one of --prompt and --input");
  if (a.dtype != "auto" && a.dtype != "fp32" && a.dtype != "bf16") {
    throw UsageError("lathe generate: --dtype is `" + a.dtype + "`; expected fp32, bf16 or auto");
  }
  const std::string folder = resolve_model_folder(a.model);
  const Tokenizer tokenizer(folder);
  const std::unique_ptr<Model> model = load_adapted_model(folder, a.adapter, compute_dtype(a.dtype, at::kCPU), at::kCPU);
  const SamplingOptions options = sampling(a, *model);
  if (a.input.empty()) {
    answer_person(*model, tokenizer, a, options);
  } else {
    answer_file(*model, tokenizer, read_requests(a, tokenizer, options));
  }
  return kDone;
}

}  // namespace lathe
