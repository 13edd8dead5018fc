#include "trainer/generate/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>

namespace lathe {
namespace {

// Prompts are read together up to this many tokens a forward, which bounds the memory of a long
// queue.
constexpr int64_t kMaxPrefillTokens = 4096;

// A request that runs.
struct Sequence {
  size_t request;
  KvCache cache;
  std::vector<int64_t> ids;  // prompt and what was generated
  int64_t limit;             // new ones at most
  int64_t num_new = 0;

  // What the model has not seen: the prompt at first, the last id later.
  std::span<const int64_t> unread() const {
    return std::span(ids).subspan(static_cast<size_t>(cache.length));
  }
};

int64_t new_token_limit(const GenerateRequest& request, const ModelConfig& config) {
  const auto room = config.max_position_embeddings - static_cast<int64_t>(request.prompt.size());
  return std::min(request.options.max_new_tokens, room);
}

void check_request(const GenerateRequest& request, const ModelConfig& config,
                   const std::string& where) {
  check_sampling(request.options, where);
  if (request.prompt.empty()) throw std::invalid_argument(where + ": the prompt has no token");
  for (const int64_t id : request.prompt) {
    if (id < 0 || id >= config.vocab_size) {
      throw std::invalid_argument(where + ": the prompt's id " + std::to_string(id) +
                                  " is not in the vocabulary of " +
                                  std::to_string(config.vocab_size));
    }
  }
  if (new_token_limit(request, config) < 0) {
    throw std::invalid_argument(where + ": the prompt has " +
                                std::to_string(request.prompt.size()) +
                                " tokens but max_position_embeddings is " +
                                std::to_string(config.max_position_embeddings) + "; shorten it");
  }
}

class Generation {
 public:
  Generation(Model& model, const std::vector<GenerateRequest>& requests, int64_t max_batch,
             const std::function<void(size_t, int64_t)>& on_token)
      : model_(model),
        requests_(requests),
        max_batch_(max_batch),
        on_token_(on_token),
        results_(requests.size()) {}

  std::vector<GenerateResult> run() {
    for (admit(); !running_.empty(); admit()) {
      const at::Tensor logits = next_logits();
      const at::Tensor norms = logits.logsumexp(-1).to(at::kDouble);
      for (size_t i = 0; i < running_.size(); ++i) {
        const auto row = static_cast<int64_t>(i);
        extend(running_[i],
               {logits[row].const_data_ptr<float>(), static_cast<size_t>(logits.size(1))},
               norms[row].item<double>());
      }
      std::erase_if(running_, [&](const Sequence& s) { return is_finished(s); });
    }
    return std::move(results_);
  }

 private:
  void admit() {
    int64_t prefill = 0;
    while (next_ < requests_.size() && static_cast<int64_t>(running_.size()) < max_batch_) {
      const GenerateRequest& request = requests_[next_];
      const int64_t limit = new_token_limit(request, model_.config()),
                    length = static_cast<int64_t>(request.prompt.size());
      if (prefill > 0 && prefill + length > kMaxPrefillTokens) return;
      if (limit > 0) {
        prefill += length;
        // The last id is never read again.
        running_.push_back({next_, model_.make_cache(length + limit - 1), request.prompt, limit});
      }
      ++next_;
    }
  }

  // [running, V] float32 on the host: after each sequence's last token.
  at::Tensor next_logits() {
    std::vector<int64_t> tokens, last;
    std::vector<KvCache*> caches;
    Batch batch;
    batch.cu_seqlens = {0};
    for (Sequence& sequence : running_) {
      const auto unread = sequence.unread();
      tokens.insert(tokens.end(), unread.begin(), unread.end());
      batch.cu_seqlens.push_back(static_cast<int64_t>(tokens.size()));
      last.push_back(static_cast<int64_t>(tokens.size()) - 1);
      caches.push_back(&sequence.cache);
    }
    const at::Device device = model_.parameters().front()->value.device();
    batch.tokens = at::tensor(tokens, at::kLong).to(device);
    const at::Tensor hidden = model_.hidden(batch, caches);
    return model_.logits(hidden.index_select(0, at::tensor(last, at::kLong).to(device)))
        .to(at::kCPU)
        .contiguous();
  }

  void extend(Sequence& sequence, std::span<const float> logits, double norm) {
    GenerateResult& result = results_[sequence.request];
    const SamplingOptions& options = requests_[sequence.request].options;
    const int64_t id = next_token(logits, options, sequence.ids, sequence.num_new++);
    sequence.ids.push_back(id);
    result.ids.push_back(id);
    result.logprob += static_cast<double>(logits[static_cast<size_t>(id)]) - norm;
    const auto& stops = options.stop_ids;
    if (std::find(stops.begin(), stops.end(), id) != stops.end())
      result.finish = GenerateResult::Finish::kStop;
    if (on_token_) on_token_(sequence.request, id);
  }

  bool is_finished(const Sequence& sequence) const {
    return sequence.num_new == sequence.limit ||
           results_[sequence.request].finish == GenerateResult::Finish::kStop;
  }

  Model& model_;
  const std::vector<GenerateRequest>& requests_;
  int64_t max_batch_;
  const std::function<void(size_t, int64_t)>& on_token_;
  std::vector<GenerateResult> results_;
  std::vector<Sequence> running_;
  size_t next_ = 0;  // the first request that waits
};

}  // namespace

std::vector<GenerateResult> generate(Model& model, const std::vector<GenerateRequest>& requests,
                                     int64_t max_batch,
                                     const std::function<void(size_t, int64_t)>& on_token) {
  if (max_batch < 1)
    throw std::invalid_argument("generate: max_batch is " + std::to_string(max_batch) +
                                "; 1 or more is expected");
  for (size_t i = 0; i < requests.size(); ++i) {
    check_request(requests[i], model.config(), "generate: request " + std::to_string(i));
  }
  const at::NoGradGuard no_grad;
  return Generation(model, requests, max_batch, on_token).run();
}

}  // namespace lathe
