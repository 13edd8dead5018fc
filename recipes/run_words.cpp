#include "recipes/run_words.h"

#include <fmt/core.h>

#include <algorithm>

#include "data/shards/document.h"
#include "data/tokenize/token_view.h"

namespace lathe {
namespace {

int64_t count_parameters(Model& model) {
  int64_t count = 0;
  for (const Parameter* parameter : model.parameters()) count += parameter->whole_numel();
  return count;
}

const char* dtype_name(at::ScalarType dtype) { return dtype == at::kBFloat16 ? "bf16" : "fp32"; }

}  // namespace

void say_start(const RunConfig& config, Model& model, const Loader& loader, Mesh& mesh,
               Metrics& metrics) {
  const PackingReport report = loader.report();
  metrics.note(
      fmt::format("model: {} with {:.2f} M parameters in {}, {} ranks (dp {}, tp {}, zero {})",
                  model.config().model_type, count_parameters(model) / 1e6,
                  dtype_name(model.parameters().front()->value.scalar_type()), mesh.world().size(),
                  mesh.dp().size(), mesh.tp().size(), config.parallel.zero));
  metrics.note(
      fmt::format("data: {} documents, {} tokens ({} trained) in {} rows of {} ({:.2f} % waste), "
                  "{} steps an epoch",
                  report.documents, report.tokens, report.targets, report.rows,
                  config.data.max_length, 100 * report.waste, loader.steps_per_epoch()));
  if (const DocumentOrder order = document_order_of(config); order != DocumentOrder::kNone)
    metrics.note(fmt::format("data: documents in the order of {}, those with the {} first",
                             config.data.train[0].order_by,
                             order == DocumentOrder::kAscending ? "least" : "most"));
  for (const LoaderStage& stage : loader.stages())
    metrics.note(fmt::format("data: from step {} on {} documents in {} rows an epoch",
                             stage.first_step, stage.documents, stage.rows_per_epoch));
}

void say_first_example(const Datasets& train, const Tokenizer& tokenizer, Metrics& metrics) {
  constexpr size_t kMostTokens = 120;
  for (const auto& dataset : train) {
    if (dataset->documents() == 0) continue;
    const auto [ids, mask] = read_document(*dataset, 0);
    metrics.note("first example, trained between \u00ab and \u00bb: " +
                 marked_text(tokenizer, ids, mask, "\u00ab", "\u00bb", kMostTokens));
    return;
  }
}

void say_end_of_turn(const ChatFormat& format, const Datasets& train, const Tokenizer& tokenizer,
                     const std::vector<int64_t>& stop_ids, Metrics& metrics) {
  const bool chats = std::any_of(train.begin(), train.end(), [](const auto& d) {
    return !d->manifest().template_hash.empty();
  });
  const std::string note = chats ? end_of_turn_note(format, tokenizer, stop_ids) : "";
  if (!note.empty()) metrics.note(note);
}

void say_match(const ExactMatch& before, const ExactMatch& after, Metrics& metrics) {
  for (const AnswerSample& sample : after.samples) {
    metrics.note(fmt::format("  question  {}\n  answer    {}\n  expected  {}\n", sample.question,
                             sample.answer, sample.expected));
  }
  metrics.note(fmt::format("exact match: {:.1f} % before, {:.1f} % after ({} held-out questions)",
                           before.percent(), after.percent(), after.total));
}

}  // namespace lathe
