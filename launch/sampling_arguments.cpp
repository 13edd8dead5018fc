#include "launch/sampling_arguments.h"

#include "trainer/generate/generation_config.h"

namespace lathe {

void SamplingArguments::add_to(Arguments& a) {
  a.option("--max-new-tokens", options.max_new_tokens, "tokens at most");
  a.option("--temperature", options.temperature, "0: greedy");
  a.option("--top-k", options.top_k, "sample among the k likeliest; 0: off");
  a.option("--top-p", options.top_p, "sample among the likeliest that hold this share");
  a.option("--min-p", options.min_p,
           "leave out what is less likely than this share of the likeliest");
  a.option("--typical-p", options.typical_p,
           "sample among the least surprising that hold this share; 1: off");
  a.option("--epsilon-cutoff", options.epsilon_cutoff,
           "leave out what is less likely than this; 0: off");
  a.option("--eta-cutoff", options.eta_cutoff, "the same, lower where much is likely; 0: off");
  a.option("--repetition-penalty", options.repetition_penalty,
           "above 1: what was said becomes less likely");
  a.option("--frequency-penalty", options.frequency_penalty,
           "taken off for every time a token was generated");
  a.option("--presence-penalty", options.presence_penalty,
           "taken off when a token was generated at all");
  a.option("--no-repeat-ngram", options.no_repeat_ngram_size,
           "no run of so many tokens twice; 0: off");
  a.option("--stop", stop, "a text that ends the answer; may be given several times");
  a.option("--seed", seed, "of the sampling");
  a.option("--chat-template", chat_template,
           "auto: the model's own, else chatml; or a built-in name, or a .jinja file");
}

SamplingOptions SamplingArguments::of(const LoadedModel& loaded) const {
  SamplingOptions all = options;
  all.seed = static_cast<uint64_t>(seed);
  all.stop_ids = stop_ids_of(loaded.folder, loaded.model->config());
  return all;
}

}  // namespace lathe
