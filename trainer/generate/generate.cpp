#include "trainer/generate/generate.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "trainer/generate/forward.h"
#include "trainer/generate/text_so_far.h"
#include "trainer/passes.h"
#include "trainer/token_ids.h"

namespace lathe {
namespace {

using Finish = GenerateResult::Finish;

// Prompts are read together up to this many tokens a forward, which bounds the memory of a long
// queue.
constexpr int64_t kMaxPrefillTokens = 4096;

// One text in the making.
struct Sequence {
  size_t request, result;
  int64_t sample;
  KvCache cache;
  std::vector<int64_t> ids;  // prompt and what was generated
  int64_t limit;             // new ones at most
  std::optional<TextSoFar> text;
  int64_t num_new = 0;
  bool finished = false;
};

int64_t new_token_limit(const GenerateRequest& request, const ModelConfig& config) {
  const auto room = context_length(config) - static_cast<int64_t>(request.prompt.size());
  return std::min(request.options.max_new_tokens, room);
}

void check_request(const GenerateRequest& request, const ModelConfig& config, bool has_tokenizer,
                   const std::string& where) {
  check_sampling(request.options, where);
  check_prompt(request.prompt, config, where);
  if (request.samples < 1) throw std::invalid_argument(where + ": samples must be 1 or more");
  for (const std::string& stop : request.stop_strings) {
    if (stop.empty()) throw std::invalid_argument(where + ": a stop string is empty");
    if (!has_tokenizer) throw std::invalid_argument(where + ": stop strings need a tokenizer");
  }
}

class Generation {
 public:
  Generation(Model& model, const std::vector<GenerateRequest>& requests,
             const GenerateSettings& settings)
      : model_(model), requests_(requests), settings_(settings) {
    for (const GenerateRequest& request : requests) {
      first_result_.push_back(results_.size());
      results_.resize(results_.size() + static_cast<size_t>(request.samples));
    }
  }

  std::vector<GenerateResult> run() {
    Passes passes(settings_.meeting);
    for (admit(); !running_.empty() && !is_cancelled(); admit()) {
      passes.announce();
      step();
    }
    passes.finish([this] { pass_for_others(); });
    for (Sequence& sequence : running_) finish(sequence, Finish::kCancelled);
    for (; next_ < requests_.size(); ++next_) {
      for (int64_t s = 0; s < requests_[next_].samples; ++s) {
        results_[first_result_[next_] + static_cast<size_t>(s)].finish = Finish::kCancelled;
      }
    }
    return std::move(results_);
  }

 private:
  void pass_for_others() {
    KvCache cache = model_.make_cache(1);
    const std::vector<int64_t> any_token{0};
    next_logits(model_, {{&cache, any_token}});
  }

  bool is_cancelled() const { return settings_.stop != nullptr && settings_.stop->load(); }

  void admit() {
    int64_t prefill = 0, places = settings_.max_batch - std::ssize(running_);
    for (; next_ < requests_.size(); ++next_) {
      const GenerateRequest& request = requests_[next_];
      const int64_t limit = new_token_limit(request, model_.config()),
                    length = std::ssize(request.prompt);
      if (limit == 0) continue;
      // The samples of one prompt run together, however many they are.
      if (request.samples > places && !running_.empty()) return;
      if (prefill > 0 && prefill + length > kMaxPrefillTokens) return;
      prefill += length;
      places -= request.samples;
      // The last id is never read again.
      running_.push_back({next_, first_result_[next_], 0, model_.make_cache(length + limit - 1),
                          request.prompt, limit, new_text(request)});
    }
  }

  std::optional<TextSoFar> new_text(const GenerateRequest& request) const {
    if (settings_.tokenizer == nullptr) return {};
    return TextSoFar(*settings_.tokenizer, request.stop_strings);
  }

  void step() {
    std::vector<ReadableSequence> readable;
    for (Sequence& sequence : running_) readable.push_back({&sequence.cache, sequence.ids});
    const at::Tensor logits = next_logits(model_, readable);
    const at::Tensor norms = logits.logsumexp(-1).to(at::kDouble);
    std::vector<int64_t> rows(running_.size());
    std::iota(rows.begin(), rows.end(), 0);
    share_prompts(rows);
    const std::vector<int64_t> ids = choose(logits, rows);
    for (size_t i = 0; i < running_.size(); ++i) {
      const double logit = logits.const_data_ptr<float>()[rows[i] * logits.size(1) + ids[i]];
      extend(running_[i], ids[i], logit - norms.const_data_ptr<double>()[rows[i]]);
    }
    std::erase_if(running_, [](const Sequence& s) { return s.finished; });
  }

  // The next token of each, as threads find time: none depends on another.
  std::vector<int64_t> choose(const at::Tensor& logits, const std::vector<int64_t>& rows) const {
    const auto width = static_cast<size_t>(logits.size(1));
    std::vector<int64_t> ids(running_.size());
    at::parallel_for(0, std::ssize(ids), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Sequence& s = running_[static_cast<size_t>(i)];
        const float* row = logits.const_data_ptr<float>() +
                           static_cast<size_t>(rows[static_cast<size_t>(i)]) * width;
        ids[static_cast<size_t>(i)] =
            next_token({row, width}, requests_[s.request].options, s.ids, s.num_new, s.sample);
      }
    });
    return ids;
  }

  // The other samples of a prompt begin when it was read. rows: of the logits, by sequence.
  void share_prompts(std::vector<int64_t>& rows) {
    const size_t count = running_.size();
    for (size_t i = 0; i < count; ++i) {
      const GenerateRequest& request = requests_[running_[i].request];
      if (running_[i].num_new > 0) continue;
      for (int64_t s = 1; s < request.samples; ++s) {
        const Sequence& first = running_[i];
        Sequence other{first.request,
                       first.result + static_cast<size_t>(s),
                       s,
                       copy_cache(model_, first.cache),
                       first.ids,
                       first.limit,
                       new_text(request)};
        running_.push_back(std::move(other));
        rows.push_back(rows[i]);
      }
    }
  }

  void extend(Sequence& sequence, int64_t id, double logprob) {
    GenerateResult& result = results_[sequence.result];
    const SamplingOptions& options = requests_[sequence.request].options;
    ++sequence.num_new;
    sequence.ids.push_back(id);
    result.ids.push_back(id);
    result.logprob += logprob;
    result.logprobs.push_back(static_cast<float>(logprob));
    const auto& stops = options.stop_ids;
    const bool stop_id = std::find(stops.begin(), stops.end(), id) != stops.end();
    // What a stop id stands for is not part of the text, special token or not.
    const bool stop_string = !stop_id && sequence.text && sequence.text->push(id);
    if (settings_.on_token) settings_.on_token(sequence.result, id);
    if (stop_string) {
      result.text = sequence.text->text();
      sequence.text.reset();
    }
    if (stop_id || stop_string) {
      finish(sequence, Finish::kStop);
    } else if (sequence.num_new == sequence.limit) {
      finish(sequence, Finish::kLength);
    }
  }

  void finish(Sequence& sequence, Finish why) {
    GenerateResult& result = results_[sequence.result];
    result.finish = why;
    sequence.finished = true;
    if (!sequence.text) return;
    sequence.text->finish();
    result.text = sequence.text->text();
  }

  Model& model_;
  const std::vector<GenerateRequest>& requests_;
  const GenerateSettings& settings_;
  std::vector<GenerateResult> results_;
  std::vector<size_t> first_result_;  // of each request
  std::vector<Sequence> running_;
  size_t next_ = 0;  // the first request that waits
};

}  // namespace

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::kStop:
      return "stop";
    case Finish::kCancelled:
      return "cancelled";
    default:
      return "length";
  }
}

void check_prompt(const std::vector<int64_t>& prompt, const ModelConfig& config,
                  const std::string& where) {
  if (prompt.empty()) throw std::invalid_argument(where + ": the prompt has no token");
  check_token_ids(prompt, config, where);
}

std::vector<GenerateResult> generate(Model& model, const std::vector<GenerateRequest>& requests,
                                     const GenerateSettings& settings) {
  if (settings.max_batch < 1)
    throw std::invalid_argument("generate: max_batch is " + std::to_string(settings.max_batch) +
                                "; 1 or more is expected");
  for (size_t i = 0; i < requests.size(); ++i) {
    check_request(requests[i], model.config(), settings.tokenizer != nullptr,
                  "generate: request " + std::to_string(i));
  }
  const at::NoGradGuard no_grad;
  return Generation(model, requests, settings).run();
}

}  // namespace lathe
