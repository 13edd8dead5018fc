#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/tokenize/tokenizer.h"
#include "trainer/generate/sampler.h"
#include "trainer/model.h"

// Text out of a model: requests of different lengths together, greedy or sampled. One that finishes
// makes room for the next that waits. Prompts that begin alike are read once as far as they do,
// long ones in pieces beside the sequences that already speak. What a request gets depends on its
// seed alone, not on what else is in the batch: to the bit on a CPU with AVX512, GPT-2's matrices and
// adapters apart; elsewhere but for the rounding of the model's arithmetic. Beams: beam_search.h.
namespace lathe {

struct GenerateRequest {
  std::vector<int64_t> prompt;  // at least one id, at most context_length()
  SamplingOptions options = {};
  int64_t samples = 1;  // texts of this prompt, which is read once for all of them
  std::vector<std::string> stop_strings = {};
};

struct GenerateResult {
  std::vector<int64_t> ids;     // new ones; those that ended it are the last
  std::string text;             // without what ended it; empty without a tokenizer
  double logprob = 0;           // sum over ids, of the model's own distribution
  std::vector<float> logprobs;  // of each id
  // kStop: a stop id or string. kLength: max_new_tokens, or prompt and ids fill
  // max_position_embeddings. kCancelled: GenerateSettings::stop was set.
  enum class Finish { kStop, kLength, kCancelled } finish = Finish::kLength;
};

// What generate() did for the results.
struct GenerateStats {
  int64_t prompt_tokens_read = 0;  // those of a beginning that prompts share count once
};

struct GenerateSettings {
  int64_t max_batch = 64;                                        // sequences that run together
  const Tokenizer* tokenizer = nullptr;                          // for texts; stop strings need it
  std::function<void(size_t result, int64_t id)> on_token = {};  // as ids come
  const std::atomic<bool>* stop = nullptr;  // set by someone else: nothing more is generated
  // Where the model's weights are brought together in every pass (parallel.zero 3): these ranks all
  // generate at once, each its own requests (or none), and pass through the model equally often.
  Group* meeting = nullptr;
  GenerateStats* stats = nullptr;  // filled in
};

// Results in the order of the requests, each one's samples together; the first sample is what the
// request gets alone. std::invalid_argument names the request at fault, before any work.
std::vector<GenerateResult> generate(Model& model, const std::vector<GenerateRequest>& requests,
                                     const GenerateSettings& settings = {});

// "stop", "length" or "cancelled".
const char* finish_name(GenerateResult::Finish finish);

// Throws what generate() would for this prompt: empty, ids out of range, too long.
void check_prompt(const std::vector<int64_t>& prompt, const ModelConfig& config,
                  const std::string& where);

}  // namespace lathe
