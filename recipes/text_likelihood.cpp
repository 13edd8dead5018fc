#include "recipes/text_likelihood.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "recipes/model_hash.h"
#include "recipes/parts.h"
#include "trainer/hf_folder.h"
#include "trainer/score.h"

namespace lathe {
namespace {

class OneThread {
 public:
  OneThread() { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = at::get_num_threads();
};

struct Scorer {
  Scorer(const std::string& folder, at::ScalarType type, int64_t most)
      : tokenizer(folder), model(load_model(folder, type, at::kCPU)), max_length(most) {}

  Tokenizer tokenizer;
  std::unique_ptr<Model> model;
  int64_t max_length;

  std::vector<TextLikelihood> score_all(const std::vector<std::string>& texts) {
    std::vector<ScoreRequest> windows;
    std::vector<size_t> ends;  // by text: where its windows end
    for (const std::string& text : texts) {
      const std::vector<int64_t> ids = text_request(tokenizer, text).ids;
      for (auto at = ids.begin(); at != ids.end();) {
        const auto end = at + std::min<int64_t>(max_length, ids.end() - at);
        windows.push_back({std::vector<int64_t>(at, end)});
        at = end;
      }
      ends.push_back(windows.size());
    }
    const OneThread one;
    const std::vector<Score> scores = score(*model, windows);
    std::vector<TextLikelihood> likelihoods(texts.size());
    for (size_t t = 0, w = 0; t < texts.size(); ++t) {
      for (; w < ends[t]; ++w) {
        likelihoods[t].logprob += scores[w].logprob;
        likelihoods[t].tokens += std::ssize(scores[w].logprobs);
      }
    }
    return likelihoods;
  }
};

}  // namespace

LikelihoodModel text_likelihood(const std::string& folder, const std::string& dtype,
                                int64_t max_length) {
  const int64_t most = read_model_config(folder).max_position_embeddings;
  if (most > 0) max_length = std::min(max_length, most);
  const at::ScalarType type = compute_dtype(dtype, at::kCPU);
  std::string key = fmt::format("{} {} {} {}", hash_of_model(folder), Tokenizer(folder).hash(),
                                at::toString(type), max_length);
  // Owned by the function alone, which may be copied.
  auto scorer = std::make_shared<std::unique_ptr<Scorer>>();
  return {std::move(key), [=](const std::vector<std::string>& texts) {
            if (!*scorer) *scorer = std::make_unique<Scorer>(folder, type, max_length);
            return (*scorer)->score_all(texts);
          }};
}

}  // namespace lathe
