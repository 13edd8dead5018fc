#include "recipes/answers.h"

#include "trainer/generate/generate.h"
#include "trainer/philox.h"

namespace lathe {

Batch with_answers_of(Model& model, const Batch& batch, const AnswerOptions& options) {
  const auto* tokens = batch.tokens.const_data_ptr<int64_t>();
  const auto* targets = batch.targets.const_data_ptr<int64_t>();
  std::vector<GenerateRequest> requests;
  std::vector<Origin> origins;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const int64_t begin = batch.cu_seqlens[d], end = batch.cu_seqlens[d + 1];
    const int64_t first =
        std::find_if(targets + begin, targets + end, [](int64_t t) { return t != kIgnore; }) -
        targets;
    if (first == end) continue;
    const Origin origin =
        batch.origins.empty() ? Origin{static_cast<int64_t>(d), 0} : batch.origins[d];
    GenerateRequest request{.prompt = {tokens + begin, tokens + first + 1},
                            .options = options.sampling};
    request.options.max_new_tokens =
        std::min(options.sampling.max_new_tokens, options.max_length - std::ssize(request.prompt));
    const auto bits = philox(options.seed, static_cast<uint64_t>(origin.item),
                             hash_name("answer") ^ static_cast<uint64_t>(origin.begin));
    request.options.seed = uint64_t{bits[0]} << 32 | bits[1];
    if (request.options.max_new_tokens < 1) continue;
    requests.push_back(std::move(request));
    origins.push_back(origin);
  }
  const std::vector<GenerateResult> results =
      generate(model, requests, {.meeting = options.meeting});
  std::vector<std::vector<int64_t>> ids;
  std::vector<std::vector<uint8_t>> trained;
  for (size_t i = 0; i < results.size(); ++i) {
    ids.push_back(requests[i].prompt);
    trained.emplace_back(ids.back().size(), uint8_t{0});
    ids.back().insert(ids.back().end(), results[i].ids.begin(), results[i].ids.end());
    trained.back().resize(ids.back().size(), 1);
  }
  std::vector<DocumentView> documents;
  for (size_t i = 0; i < ids.size(); ++i)
    documents.push_back({ids[i].data(), trained[i].data(), std::ssize(ids[i])});
  Batch answered = make_batch(documents);
  answered.origins = std::move(origins);
  answered.sampled = true;
  return answered;
}

}  // namespace lathe
