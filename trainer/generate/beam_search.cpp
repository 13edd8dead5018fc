#include "trainer/generate/beam_search.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "trainer/generate/forward.h"
#include "trainer/generate/generate.h"
#include "trainer/token_ids.h"

namespace lathe {
namespace {

// A text that may still grow.
struct Running {
  std::vector<int64_t> ids;  // prompt and what was generated
  double logprob = 0;
  KvCache cache;
};

// One token more for one of them.
struct Extension {
  size_t parent;
  int64_t id;
  double logprob;
};

class BeamSearch {
 public:
  BeamSearch(Model& model, const std::vector<int64_t>& prompt, const BeamOptions& options,
             int64_t limit)
      : model_(model), options_(options), prompt_length_(std::ssize(prompt)), limit_(limit) {
    running_.push_back({prompt, 0, model.make_cache(prompt_length_ + limit - 1)});
  }

  std::vector<Beam> run() {
    for (int64_t length = 1; length <= limit_; ++length) {
      const std::vector<Extension> best = best_extensions();
      finish(best, length);
      go_on(best, length);
      if (running_.empty() || !may_improve(length)) break;
    }
    return std::move(finished_);
  }

 private:
  bool is_full() const { return std::ssize(finished_) == options_.num_beams; }

  bool stops(int64_t id) const {
    const auto& stops = options_.stop_ids;
    return std::find(stops.begin(), stops.end(), id) != stops.end();
  }

  double score(double logprob, int64_t length) const {
    return logprob / std::pow(static_cast<double>(length), options_.length_penalty);
  }

  // As many that num_beams are left when each stop id ends one of every beam.
  std::vector<Extension> best_extensions() {
    std::vector<ReadableSequence> readable;
    for (Running& beam : running_) readable.push_back({&beam.cache, beam.ids});
    const at::Tensor log_probs = next_logits(model_, readable).log_softmax(-1);
    std::vector<Extension> all;
    for (size_t b = 0; b < running_.size(); ++b) {
      const at::Tensor row = log_probs[static_cast<int64_t>(b)];
      const float* values = row.const_data_ptr<float>();
      for (int64_t id = 0; id < row.numel(); ++id) {
        all.push_back({b, id, running_[b].logprob + static_cast<double>(values[id])});
      }
    }
    const auto kept = std::min(all.size(), static_cast<size_t>(options_.num_beams) *
                                               std::max<size_t>(2, 1 + options_.stop_ids.size()));
    const auto better = [](const Extension& a, const Extension& b) {
      if (a.logprob != b.logprob) return a.logprob > b.logprob;
      return a.parent != b.parent ? a.parent < b.parent : a.id < b.id;
    };
    std::partial_sort(all.begin(), all.begin() + static_cast<int64_t>(kept), all.end(), better);
    all.resize(kept);
    return all;
  }

  // Only what is among the first num_beams may finish.
  void finish(const std::vector<Extension>& best, int64_t length) {
    for (size_t i = 0; i < std::min(best.size(), static_cast<size_t>(options_.num_beams)); ++i) {
      const Extension& e = best[i];
      if (!stops(e.id) && length < limit_) continue;
      const std::vector<int64_t>& parent = running_[e.parent].ids;
      Beam beam{{parent.begin() + prompt_length_, parent.end()},
                e.logprob,
                score(e.logprob, length),
                stops(e.id)};
      beam.ids.push_back(e.id);
      finished_.push_back(std::move(beam));
    }
    std::stable_sort(finished_.begin(), finished_.end(),
                     [](const Beam& a, const Beam& b) { return a.score > b.score; });
    if (std::ssize(finished_) > options_.num_beams) {
      finished_.resize(static_cast<size_t>(options_.num_beams));
    }
  }

  void go_on(const std::vector<Extension>& best, int64_t length) {
    std::vector<Running> next;
    for (const Extension& e : best) {
      if (length == limit_ || std::ssize(next) == options_.num_beams) break;
      if (stops(e.id)) continue;
      const Running& parent = running_[e.parent];
      next.push_back({parent.ids, e.logprob, parent.cache});
      next.back().ids.push_back(e.id);
    }
    running_ = std::move(next);
  }

  bool may_improve(int64_t length) const {
    if (!is_full()) return true;
    return !options_.early_stopping &&
           score(running_.front().logprob, length) > finished_.back().score;
  }

  Model& model_;
  const BeamOptions& options_;
  int64_t prompt_length_, limit_;
  std::vector<Running> running_;  // best first
  std::vector<Beam> finished_;    // best first
};

}  // namespace

std::vector<Beam> beam_search(Model& model, const std::vector<int64_t>& prompt,
                              const BeamOptions& options) {
  const auto require = [](bool good, const char* what) {
    if (!good) throw std::invalid_argument(std::string("beam search: ") + what);
  };
  require(options.num_beams >= 1, "num_beams must be 1 or more");
  require(options.max_new_tokens >= 0, "max_new_tokens must be 0 or more");
  require(std::isfinite(options.length_penalty), "length_penalty must be a number");
  check_prompt(prompt, model.config(), "beam search");
  const int64_t room = context_length(model.config()) - std::ssize(prompt);
  const int64_t limit = std::min(options.max_new_tokens, room);
  if (limit == 0) return {};
  const at::NoGradGuard no_grad;
  return BeamSearch(model, prompt, options, limit).run();
}

}  // namespace lathe
