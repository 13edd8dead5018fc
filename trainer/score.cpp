#include "trainer/score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

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

  void add(const ScoreRequest& request) {
    const auto begin = static_cast<int64_t>(tokens.size()),
               length = static_cast<int64_t>(request.ids.size());
    for (int64_t i = 0; i < length; ++i) {
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

// [places] float32 on the host.
at::Tensor row_log_probs(Model& model, const Row& row) {
  const at::Device device = device_of(model);
  const at::Tensor hidden = model.hidden(row.batch(device));
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
  // By length: attention costs by the longest of a row's documents.
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return requests[a].ids.size() > requests[b].ids.size();
  });

  const at::NoGradGuard no_grad;
  std::vector<Score> scores(requests.size());
  for (size_t next = 0; next < order.size();) {
    Row row;
    std::vector<size_t> members;
    do {
      const size_t i = order[next++];
      if (std::ssize(requests[i].ids) <= requests[i].first) continue;  // nothing is asked
      row.add(requests[i]);
      members.push_back(i);
    } while (next < order.size() &&
             std::ssize(row.tokens) + std::ssize(requests[order[next]].ids) <= max_tokens);
    if (!members.empty()) give_out(row_log_probs(model, row), members, requests, scores);
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
