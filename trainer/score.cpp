#include "trainer/score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <deque>
#include <stdexcept>

#include "trainer/models/rotary_table.h"
#include "trainer/token_ids.h"

namespace lathe {
namespace {

std::vector<int64_t> encoded(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, /*add_special_tokens=*/true);
  return {ids.begin(), ids.end()};
}

at::Device device_of(Model& model) { return model.parameters().front()->value.device(); }

// Documents one after another, with what is asked of them.
struct Row {
  std::vector<int64_t> tokens, positions, cu_seqlens{0};
  std::vector<int64_t> places, targets;  // targets[i] follows the token at places[i]

  // All of it, or what comes after the first `known` ids.
  void add(const ScoreRequest& request, int64_t known = 0) {
    const int64_t begin = std::ssize(tokens) - known, length = std::ssize(request.ids);
    for (int64_t i = known; i < length; ++i) {
      tokens.push_back(request.ids[i]);
      positions.push_back(i);
      if (i < request.first) continue;
      places.push_back(begin + i - 1);
      targets.push_back(request.ids[i]);
    }
    cu_seqlens.push_back(begin + length);
  }

  Batch batch(at::Device device) const {
    Batch batch;
    batch.tokens = at::tensor(tokens, at::kLong).to(device);
    batch.positions = at::tensor(positions, at::kLong).to(device);
    batch.cu_seqlens = cu_seqlens;
    return batch;
  }
};

// [places] float32 on the host. caches: what lies before each document, or empty.
at::Tensor row_log_probs(Model& model, const Row& row, std::span<KvCache* const> caches = {}) {
  const at::Device device = device_of(model);
  const Batch batch = row.batch(device);
  const at::Tensor hidden = caches.empty() ? model.hidden(batch) : model.hidden(batch, caches);
  return model
      .log_probs(hidden.index_select(0, at::tensor(row.places, at::kLong).to(device)),
                 at::tensor(row.targets, at::kLong).to(device))
      .to(at::kCPU)
      .contiguous();
}

void give_out(const at::Tensor& log_probs, const std::vector<size_t>& members,
              const std::vector<ScoreRequest>& requests, std::vector<Score>& scores) {
  const float* next = log_probs.const_data_ptr<float>();
  for (const size_t i : members) {
    const auto count = std::ssize(requests[i].ids) - requests[i].first;
    scores[i].logprobs.assign(next, next + std::max<int64_t>(0, count));
    for (const float logprob : scores[i].logprobs) scores[i].logprob += logprob;
    next += scores[i].logprobs.size();
  }
}

// Requests that begin alike, as the choices of one question do: what they share is read once.
struct Siblings {
  int64_t shared = 0;  // ids; before what any of them asks
  std::vector<size_t> members;
  int64_t tokens = 0;  // to be read for all of them
};

// Of neighbours. Sharing costs a cache each: it must save at least as much as it leaves.
std::vector<Siblings> find_siblings(const std::vector<ScoreRequest>& requests,
                                    const ModelConfig& config, int64_t max_tokens) {
  constexpr int64_t kLeastShared = 16;
  std::vector<Siblings> all;
  for (size_t i = 0; i < requests.size(); ++i) {
    const ScoreRequest& request = requests[i];
    const int64_t length = std::ssize(request.ids);
    if (length <= request.first) continue;  // nothing is asked
    if (!all.empty()) {
      Siblings& last = all.back();
      const std::vector<int64_t>& other = requests[last.members[0]].ids;
      const auto parting =
          std::mismatch(other.begin(), other.end(), request.ids.begin(), request.ids.end());
      const int64_t common =
          std::min({parting.first - other.begin(), last.shared, request.first - 1});
      const int64_t tokens =
          last.tokens + (last.shared - common) * (std::ssize(last.members) - 1) + length - common;
      const bool same_angles =
          rotary_regime(config, length) == 0 && rotary_regime(config, std::ssize(other)) == 0;
      if (common >= std::max(kLeastShared, length / 2) && tokens <= max_tokens && same_angles) {
        last.shared = common;
        last.tokens = tokens;
        last.members.push_back(i);
        continue;
      }
    }
    all.push_back({request.first - 1, {i}, length});
  }
  return all;
}

// All that is shared in one forward, then all that follows in another.
void score_siblings(Model& model, const std::vector<const Siblings*>& row,
                    const std::vector<ScoreRequest>& requests, std::vector<Score>& scores) {
  std::deque<KvCache> caches;  // never moved
  std::vector<KvCache*> prefix_caches, caches_of;
  std::vector<size_t> members;
  Row prefixes, rest;
  for (const Siblings* siblings : row) {
    int64_t longest = 0;
    for (const size_t i : siblings->members)
      longest = std::max(longest, std::ssize(requests[i].ids));
    const auto& ids = requests[siblings->members[0]].ids;
    prefixes.add({{ids.begin(), ids.begin() + siblings->shared}, siblings->shared});
    prefix_caches.push_back(&caches.emplace_back(model.make_cache(longest)));
  }
  model.hidden(prefixes.batch(device_of(model)), prefix_caches);
  for (size_t s = 0; s < row.size(); ++s) {
    for (const size_t i : row[s]->members) {
      rest.add(requests[i], row[s]->shared);
      caches_of.push_back(&caches.emplace_back(*prefix_caches[s]));
      members.push_back(i);
    }
  }
  give_out(row_log_probs(model, rest, caches_of), members, requests, scores);
}

void score_apart(Model& model, const std::vector<const Siblings*>& row,
                 const std::vector<ScoreRequest>& requests, std::vector<Score>& scores) {
  Row flat;
  std::vector<size_t> members;
  for (const Siblings* one : row) {
    flat.add(requests[one->members[0]]);
    members.push_back(one->members[0]);
  }
  give_out(row_log_probs(model, flat), members, requests, scores);
}

}  // namespace

ScoreRequest text_request(const Tokenizer& tokenizer, const std::string& text) {
  return {encoded(tokenizer, text), 1};
}

ScoreRequest completion_request(const Tokenizer& tokenizer, const std::string& prompt,
                                const std::string& completion) {
  const std::vector<int64_t> before = encoded(tokenizer, prompt);
  ScoreRequest request{encoded(tokenizer, prompt + completion)};
  const auto parting =
      std::mismatch(before.begin(), before.end(), request.ids.begin(), request.ids.end());
  request.first = std::max<int64_t>(1, parting.first - before.begin());
  return request;
}

std::vector<Score> score(Model& model, const std::vector<ScoreRequest>& requests,
                         int64_t max_tokens) {
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::string where = "score: request " + std::to_string(i);
    check_token_ids(requests[i].ids, model.config(), where);
    if (requests[i].first < 1) {
      throw std::invalid_argument(where + ": the first token has nothing before it to be given by");
    }
  }
  const at::NoGradGuard no_grad;
  std::vector<Score> scores(requests.size());
  std::vector<Siblings> all = find_siblings(requests, model.config(), max_tokens);
  // By length: attention costs by the longest of a row's documents.
  std::stable_sort(all.begin(), all.end(), [](const Siblings& a, const Siblings& b) {
    return std::pair(a.members.size() > 1, a.tokens) > std::pair(b.members.size() > 1, b.tokens);
  });
  for (size_t next = 0; next < all.size();) {
    const bool shared = all[next].members.size() > 1;
    std::vector<const Siblings*> row;
    int64_t tokens = 0;
    do {
      tokens += all[next].tokens;
      row.push_back(&all[next++]);
    } while (next < all.size() && (all[next].members.size() > 1) == shared &&
             tokens + all[next].tokens <= max_tokens);
    shared ? score_siblings(model, row, requests, scores)
           : score_apart(model, row, requests, scores);
  }
  return scores;
}

at::Tensor logits_of(Model& model, const std::vector<int64_t>& ids) {
  check_token_ids(ids, model.config(), "logits");
  const at::NoGradGuard no_grad;
  Row row;
  row.add({ids});
  return model.logits(model.hidden(row.batch(device_of(model)))).to(at::kCPU).contiguous();
}

}  // namespace lathe
