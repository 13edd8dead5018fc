#include "recipes/samples.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/shards/document.h"
#include "trainer/generate/generate.h"

namespace lathe {
namespace {

constexpr int64_t kNewTokens = 64;
constexpr size_t kTextPrompt = 16, kShownBytes = 300;

std::string shortened(const std::string& text) {
  std::string line = text.size() > kShownBytes ? text.substr(0, kShownBytes) + " ..." : text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

// How much of a document is prompt; all of it where nothing is trained.
size_t prompt_size(const std::vector<uint8_t>& mask) {
  const size_t first = static_cast<size_t>(std::find(mask.begin(), mask.end(), uint8_t{1}) - mask.begin());
  return first > 1 ? first : std::min(kTextPrompt, mask.size());
}

}  // namespace

Samples::Samples(const Datasets& datasets, int64_t count, const Tokenizer& tokenizer, std::vector<int64_t> stop_ids)
    : tokenizer_(tokenizer), stop_ids_(std::move(stop_ids)) {
  for (const auto& dataset : datasets) {
    for (int64_t d = 0; d < dataset->documents() && std::ssize(prompts_) < count; ++d) {
      auto [ids, mask] = read_document(*dataset, d);
      if (ids.empty()) continue;
      ids.resize(prompt_size(mask));
      const std::string text = tokenizer.decode({ids.begin(), ids.end()}, /*skip_special_tokens=*/true);
      prompts_.push_back({std::move(ids), text});
    }
  }
}

void Samples::show(Model& model, int64_t step, const std::string& output_dir, Mesh& mesh, Metrics& metrics) const {
  std::vector<GenerateRequest> requests;
  for (const Prompt& prompt : prompts_) {
    GenerateRequest request{.prompt = prompt.ids, .options = {}};
    request.options.max_new_tokens = kNewTokens;
    request.options.stop_ids = stop_ids_;
    requests.push_back(std::move(request));
  }
  const std::vector<GenerateResult> results = generate(model, requests);
  if (mesh.world().rank() != 0) return;
  std::ofstream file(output_dir + "/samples.jsonl", std::ios::app);
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string text = tokenizer_.decode({results[i].ids.begin(), results[i].ids.end()}, true);
    metrics.note(fmt::format("sample at step {}: {} -> {}", step, shortened(prompts_[i].text), shortened(text)));
    file << nlohmann::json{{"step", step}, {"prompt", prompts_[i].text}, {"text", text}}.dump(
                -1, ' ', false, nlohmann::json::error_handler_t::replace)
         << '\n';
  }
}

}  // namespace lathe
