// lathe generate --model DIR (--prompt TEXT | --input F.jsonl)
#include <fmt/core.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/conversation.h"
#include "launch/exit_codes.h"
#include "launch/run_verb.h"
#include "launch/sampling_arguments.h"
#include "trainer/generate/beam_search.h"
#include "trainer/text_lines.h"

namespace lathe {
namespace {

using json = nlohmann::ordered_json;

struct GenerateArguments {
  ModelArguments model;
  SamplingArguments sampling;
  std::string prompt, input;
  bool chat = false, early_stopping = false;
  int64_t samples = 1, num_beams = 1;
  double length_penalty = 1;
};

void print_line(const json& line) {
  std::cout << line.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
}

// Request i has seed + i, so that equal prompts get different texts.
std::vector<GenerateRequest> read_requests(const GenerateArguments& a, const LoadedModel& loaded) {
  std::vector<GenerateRequest> requests;
  for_each_line(a.input, [&](std::string_view line) {
    GenerateRequest request{
        .prompt = request_ids(line, loaded.tokenizer(), a.sampling.chat_template),
        .options = a.sampling.of(loaded),
        .samples = a.samples,
        .stop_strings = a.sampling.stop};
    request.options.seed += requests.size();
    check_prompt(request.prompt, loaded.model->config(), "the record");
    requests.push_back(std::move(request));
  });
  return requests;
}

// One line per text; with several texts a record, each says of which it is and the how manieth.
void answer_file(const GenerateArguments& a, const LoadedModel& loaded) {
  const std::vector<GenerateRequest> requests = read_requests(a, loaded);
  const auto results = generate(*loaded.model, requests, {.tokenizer = &loaded.tokenizer()});
  for (size_t i = 0; i < results.size(); ++i) {
    const GenerateResult& result = results[i];
    json line = {{"text", result.text},
                 {"ids", result.ids},
                 {"logprob", result.logprob},
                 {"finish", finish_name(result.finish)},
                 {"logprobs", result.logprobs}};
    if (a.samples > 1) {
      line["record"] = i / static_cast<size_t>(a.samples);
      line["sample"] = i % static_cast<size_t>(a.samples);
    }
    print_line(line);
  }
}

std::vector<Beam> beams_of(const GenerateArguments& a, const LoadedModel& loaded,
                           const std::vector<int64_t>& prompt) {
  const SamplingOptions sampling = a.sampling.of(loaded);
  std::vector<Beam> beams = beam_search(*loaded.model, prompt,
                                        {.num_beams = a.num_beams,
                                         .max_new_tokens = sampling.max_new_tokens,
                                         .length_penalty = a.length_penalty,
                                         .early_stopping = a.early_stopping,
                                         .stop_ids = sampling.stop_ids});
  if (std::ssize(beams) > a.samples) beams.resize(static_cast<size_t>(a.samples));
  return beams;
}

std::string beam_text(const LoadedModel& loaded, const Beam& beam) {
  return loaded.tokenizer().decode({beam.ids.begin(), beam.ids.end() - (beam.stopped ? 1 : 0)},
                                   true);
}

void answer_file_by_beams(const GenerateArguments& a, const LoadedModel& loaded) {
  size_t record = 0;
  for (const GenerateRequest& request : read_requests(a, loaded)) {
    const std::vector<Beam> beams = beams_of(a, loaded, request.prompt);
    for (size_t i = 0; i < beams.size(); ++i) {
      json line = {{"text", beam_text(loaded, beams[i])},
                   {"ids", beams[i].ids},
                   {"logprob", beams[i].logprob},
                   {"finish", beams[i].stopped ? "stop" : "length"},
                   {"score", beams[i].score}};
      if (a.samples > 1) {
        line["record"] = record;
        line["sample"] = i;
      }
      print_line(line);
    }
    ++record;
  }
}

// A prompt with what goes on after it. Decoded together: alone, some tokenizers' first token loses
// its space.
std::string continued(const Tokenizer& tokenizer, const std::vector<int64_t>& prompt,
                      const std::vector<int64_t>& ids, const std::string& text) {
  std::vector<int32_t> all(prompt.begin(), prompt.end());
  const size_t known = tokenizer.decode(all, true).size();
  all.insert(all.end(), ids.begin(), ids.end());
  const std::string whole = tokenizer.decode(all, true);
  const size_t place = whole.find(text, known);
  return place == std::string::npos ? whole : whole.substr(0, place + text.size());
}

std::vector<GenerateRequest> person_request(const GenerateArguments& a, const LoadedModel& loaded) {
  GenerateRequest request{.prompt = {},
                          .options = a.sampling.of(loaded),
                          .samples = a.samples,
                          .stop_strings = a.sampling.stop};
  const Tokenizer& tokenizer = loaded.tokenizer();
  request.prompt = a.chat ? chat_ids(tokenizer, ChatFormat(tokenizer, a.sampling.chat_template),
                                     {{{"user", a.prompt}}})
                          : text_ids(tokenizer, a.prompt);
  return {request};
}

void stream_to_person(const GenerateArguments& a, const LoadedModel& loaded) {
  const std::vector<GenerateRequest> request = person_request(a, loaded);
  StreamDecoder decoder(loaded.tokenizer());
  const auto say = [&](int64_t id) {
    std::cout << decoder.push(static_cast<int32_t>(id)) << std::flush;
  };
  if (!a.chat) std::for_each(request[0].prompt.begin(), request[0].prompt.end(), say);
  generate(*loaded.model, request, {.on_token = [&](size_t, int64_t id) { say(id); }});
  std::cout << decoder.finish() << std::endl;
}

// As it comes where nothing can end it in hindsight.
void answer_person(const GenerateArguments& a, const LoadedModel& loaded) {
  if (a.num_beams == 1 && a.samples == 1 && a.sampling.stop.empty()) {
    return stream_to_person(a, loaded);
  }
  const std::vector<GenerateRequest> request = person_request(a, loaded);
  const auto print = [&](const std::vector<int64_t>& ids, const std::string& text) {
    std::cout << (a.chat ? text : continued(loaded.tokenizer(), request[0].prompt, ids, text))
              << std::endl;
  };
  if (a.num_beams > 1) {
    for (const Beam& beam : beams_of(a, loaded, request[0].prompt)) {
      print(beam.ids, beam_text(loaded, beam));
    }
    return;
  }
  const auto results = generate(*loaded.model, request, {.tokenizer = &loaded.tokenizer()});
  for (const GenerateResult& result : results) print(result.ids, result.text);
}

void check(const GenerateArguments& a) {
  const auto require = [](bool good, const char* what) {
    if (!good) throw UsageError(std::string("lathe generate: ") + what);
  };
  require(a.prompt.empty() != a.input.empty(), "give one of --prompt and --input");
  require(a.samples >= 1, "-n must be 1 or more");
  require(a.num_beams >= 1, "--num-beams must be 1 or more");
  if (a.num_beams == 1) return;
  require(a.samples <= a.num_beams, "-n is more than --num-beams");
  require(a.sampling.options.temperature == 0,
          "beam search does not sample; leave --temperature out");
  require(a.sampling.stop.empty(), "beam search ends at the model's stop ids; leave --stop out");
}

}  // namespace

int generate_verb(int argc, char** argv) {
  GenerateArguments a;
  Arguments arguments(
      "generate", "Continues a prompt, or answers questions from a file (JSON lines in and out).");
  a.model.add_to(arguments);
  arguments.option("--prompt", a.prompt, "text to continue; with --chat, a question to answer");
  arguments.option("--input", a.input, "JSON lines with `prompt`, `messages` or `input_ids`");
  arguments.flag("--chat", a.chat, "put --prompt as a user's turn into the chat template");
  arguments.option("-n", a.samples,
                   "texts of each prompt, which is read once; of beams, the best so many");
  arguments.option("--num-beams", a.num_beams, "beam search; 1: off");
  arguments.option("--length-penalty", a.length_penalty,
                   "beam search: a text's score is logprob / length ^ this");
  arguments.flag("--early-stopping", a.early_stopping,
                 "beam search: end as soon as there are as many texts as beams");
  a.sampling.add_to(arguments);
  if (!arguments.parse(argc, argv)) return kDone;
  check(a);
  const LoadedModel loaded = a.model.load();
  if (a.input.empty()) {
    answer_person(a, loaded);
  } else if (a.num_beams > 1) {
    answer_file_by_beams(a, loaded);
  } else {
    answer_file(a, loaded);
  }
  return kDone;
}

}  // namespace lathe
