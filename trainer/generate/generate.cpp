#include "trainer/generate/generate.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "trainer/generate/forward.h"
#include "trainer/generate/shared_prefixes.h"
#include "trainer/generate/text_so_far.h"
#include "trainer/kernels/product.h"
#include "trainer/models/rotary_table.h"
#include "trainer/passes.h"
#include "trainer/token_ids.h"

namespace lathe {
namespace {

using Finish = GenerateResult::Finish;

// A forward has about so many tokens, which bounds its memory; or half of what the products can
// take without a token's numbers depending on the others, which leaves the rest to sequences that
// speak.
constexpr int64_t kPassTokens = 4096;
// Prompts get at least so many of them, however many sequences already speak.
constexpr int64_t kLeastPromptTokens = 32;
// Kept of what prompts share, besides what sequences hold: 8,192 tokens.
constexpr int64_t kSharedBlocks = 256;

int64_t pass_tokens(Model& model) {
  const int64_t tiles = max_tile_tokens(model.parameters().front()->value);
  return tiles >= 64 ? tiles / 2 : kPassTokens;
}

// The next token of a sequence, from a row of the logits.
struct Draw {
  size_t sequence;
  int64_t row;
  int64_t id = 0;
  float logprob = 0;
};

// One text in the making.
struct Sequence {
  size_t request, result;
  int64_t sample;
  KvCache cache;
  std::vector<int64_t> ids;  // prompt and what was generated
  int64_t limit;             // new ones at most
  std::optional<TextSoFar> text;
  SharedPrefixes::Place place = {};
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
      : model_(model),
        requests_(requests),
        settings_(settings),
        prefixes_(kSharedBlocks),
        pass_tokens_(pass_tokens(model)) {
    for (const GenerateRequest& request : requests) {
      first_result_.push_back(results_.size());
      results_.resize(results_.size() + static_cast<size_t>(request.samples));
      // Where angles hang on a sequence's length, what is read is its own.
      const bool shares =
          new_token_limit(request, model_.config()) > 0 && is_steady(request.prompt);
      places_.push_back(shares ? prefixes_.expect(request.prompt) : SharedPrefixes::Place());
    }
  }

  std::vector<GenerateResult> run() {
    Passes passes(settings_.meeting);
    for (admit(); !running_.empty() && !is_cancelled(); admit()) {
      passes.announce();
      step();
    }
    passes.finish([this] { pass_for_others(); });
    for (Sequence& sequence : running_) {
      if (sequence.num_new == 0) cancel(sequence.request);
      finish(sequence, Finish::kCancelled);
    }
    for (; next_ < requests_.size(); ++next_) cancel(next_);
    return std::move(results_);
  }

 private:
  // Of which nothing was said.
  void cancel(size_t request) {
    for (int64_t s = 0; s < requests_[request].samples; ++s) {
      results_[first_result_[request] + static_cast<size_t>(s)].finish = Finish::kCancelled;
    }
  }

  void pass_for_others() {
    KvCache cache = model_.make_cache(1);
    const std::vector<int64_t> any_token{0};
    next_logits(model_, {{&cache, any_token}});
  }

  bool is_cancelled() const { return settings_.stop != nullptr && settings_.stop->load(); }

  // Its tokens are turned alike whether it is read whole or in pieces.
  bool is_steady(std::span<const int64_t> ids) const {
    return rotary_regime(model_.config(), std::ssize(ids)) == 0;
  }

  void admit() {
    int64_t places = settings_.max_batch - std::ssize(running_);
    for (; next_ < requests_.size(); ++next_) {
      const GenerateRequest& request = requests_[next_];
      const int64_t limit = new_token_limit(request, model_.config()),
                    length = std::ssize(request.prompt);
      if (limit == 0) continue;
      // The samples of one prompt run together, however many they are.
      if (request.samples > places && !running_.empty()) return;
      places -= request.samples;
      // The last id is never read again.
      running_.push_back({next_, first_result_[next_], 0, model_.make_cache(length + limit - 1),
                          request.prompt, limit, new_text(request), places_[next_]});
    }
  }

  std::optional<TextSoFar> new_text(const GenerateRequest& request) const {
    if (settings_.tokenizer == nullptr) return {};
    return TextSoFar(*settings_.tokenizer, request.stop_strings);
  }

  void step() {
    std::vector<ReadableSequence> readable;
    std::vector<size_t> reading;
    std::vector<Draw> draws;
    int64_t room = prompt_room();
    for (size_t i = 0; i < running_.size(); ++i) {
      Sequence& s = running_[i];
      const int64_t length = std::ssize(s.ids), end = s.num_new > 0 ? length : piece_end(s, room);
      if (end == s.cache.length) continue;
      if (s.num_new == 0) reading.push_back(i);
      if (end == length) draws.push_back({i, std::ssize(draws)});
      readable.push_back(
          {&s.cache, std::span(s.ids).first(static_cast<size_t>(end)), end == length});
    }
    const at::Tensor logits = next_logits(model_, readable);
    for (const size_t i : reading) {
      prefixes_.pass(running_[i].place, requests_[running_[i].request].prompt, running_[i].cache);
    }
    begin_samples(draws);
    choose(logits, draws);
    for (const Draw& draw : draws) extend(running_[draw.sequence], draw.id, draw.logprob);
    std::erase_if(running_, [](const Sequence& s) { return s.finished; });
  }

  // Tokens of prompts that this step may read.
  int64_t prompt_room() const {
    const auto speaking = std::count_if(running_.begin(), running_.end(),
                                        [](const Sequence& s) { return s.num_new > 0; });
    return std::max(pass_tokens_ - speaking, kLeastPromptTokens);
  }

  // How far the prompt is read now: as the room allows, or not at all while somebody else reads the
  // same tokens.
  int64_t piece_end(Sequence& s, int64_t& room) {
    if (!prefixes_.pass(s.place, s.ids, s.cache)) return s.cache.length;
    const int64_t left = std::ssize(s.ids) - s.cache.length,
                  count = is_steady(s.ids) ? std::min(left, room) : left;
    const int64_t end = s.cache.length + count;
    prefixes_.read(s.place, s.ids, end);
    room = std::max<int64_t>(0, room - count);
    if (settings_.stats != nullptr) settings_.stats->prompt_tokens_read += count;
    return end;
  }

  // The other samples of a prompt begin when it was read.
  void begin_samples(std::vector<Draw>& draws) {
    const size_t count = draws.size();
    for (size_t i = 0; i < count; ++i) {
      const size_t first = draws[i].sequence;
      const GenerateRequest& request = requests_[running_[first].request];
      if (running_[first].num_new > 0) continue;
      for (int64_t sample = 1; sample < request.samples; ++sample) {
        const Sequence& s = running_[first];
        Sequence other{s.request,
                       s.result + static_cast<size_t>(sample),
                       sample,
                       s.cache,
                       s.ids,
                       s.limit,
                       new_text(request)};
        draws.push_back({running_.size(), draws[i].row});
        running_.push_back(std::move(other));
      }
    }
  }

  // As threads find time: none depends on another.
  void choose(const at::Tensor& logits, std::vector<Draw>& draws) const {
    const int64_t width = logits.size(1);
    at::parallel_for(0, std::ssize(draws), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        Draw& draw = draws[static_cast<size_t>(i)];
        const Sequence& s = running_[draw.sequence];
        const float* row = logits.const_data_ptr<float>() + draw.row * width;
        draw.id = next_token({row, static_cast<size_t>(width)}, requests_[s.request].options, s.ids,
                             s.num_new, s.sample);
        float log_z = 0;
        row_kernels<float>().log_softmax_pick(&draw.logprob, &log_z, row, &draw.id, 1, width);
      }
    });
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
  SharedPrefixes prefixes_;
  std::vector<SharedPrefixes::Place> places_;  // of each request
  int64_t pass_tokens_;
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
