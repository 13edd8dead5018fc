#include "recipes/teacher_answers.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/shards/document.h"
#include "data/shards/teacher_set.h"
#include "recipes/stage.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

// Documents of a file, which is what a stop may lose, and those that a rank answers at a time,
// whatever the number of ranks: the same ones together make the same bits.
constexpr int64_t kFileDocuments = 1024, kTogether = 32;

struct Job {
  const RunContext& run;
  const Tokenizer& tokenizer;
  const TeacherAnswers& by;
  Mesh& mesh;
};

// A data set, and how many documents lie before it over all data sets.
struct Source {
  const Dataset& dataset;
  int64_t first_item = 0;
};

Batch read_batch(const Source& source, int64_t first, int64_t end) {
  std::vector<Document> documents;
  std::vector<DocumentView> views;
  std::vector<Origin> origins;
  for (int64_t d = first; d < end; ++d) {
    documents.push_back(read_document(source.dataset, d));
    if (!documents.back().ids.empty()) origins.push_back({source.first_item + d, 0});
  }
  for (const Document& document : documents)
    views.push_back({document.ids.data(), document.mask.data(), std::ssize(document.ids)});
  Batch batch = make_batch(views);
  batch.origins = std::move(origins);
  return batch;
}

// As records of token ids, with their texts for the reader.
std::string records_of(const Batch& answered, const Tokenizer& tokenizer) {
  const auto* tokens = answered.tokens.const_data_ptr<int64_t>();
  const auto* targets = answered.targets.const_data_ptr<int64_t>();
  std::string records;
  for (size_t d = 0; d + 1 < answered.cu_seqlens.size(); ++d) {
    const int64_t begin = answered.cu_seqlens[d], end = answered.cu_seqlens[d + 1];
    const int64_t answer =
        std::find_if(targets + begin, targets + end, [](int64_t t) { return t != kIgnore; }) + 1 -
        targets;
    std::vector<int64_t> labels(static_cast<size_t>(answer - begin), kIgnore);
    labels.insert(labels.end(), tokens + answer, tokens + end);
    const auto text = [&](int64_t from, int64_t to) {
      return tokenizer.decode({tokens + from, tokens + to}, /*skip_special_tokens=*/false);
    };
    const Json record{{"prompt_text", text(begin, answer)},
                      {"answer_text", text(answer, end)},
                      {"input_ids", std::vector<int64_t>(tokens + begin, tokens + end)},
                      {"labels", labels}};
    records += record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return records;
}

// The records of documents [first, end), shared out over the ranks.
std::string answer(const Job& job, const Source& source, int64_t first, int64_t end) {
  Group& dp = job.mesh.dp();
  const int64_t groups = (end - first + kTogether - 1) / kTogether;
  Json mine = Json::array();
  // Every rank goes round equally often: weights may have to come from all of them.
  for (int64_t g = dp.rank(); g - dp.rank() < groups; g += dp.size()) {
    const int64_t begin = std::min(first + g * kTogether, end);
    const Batch prompts = read_batch(source, begin, std::min(begin + kTogether, end));
    job.by.teacher.run([&](Model& model) {
      mine.push_back(records_of(with_answers_of(model, prompts, job.by.options), job.tokenizer));
    });
  }
  std::vector<Json> all;
  for (const std::string& text : gather_bytes(dp, mine.dump())) all.push_back(Json::parse(text));
  std::string records;
  for (int64_t g = 0; g < groups; ++g)
    records += all[static_cast<size_t>(g % dp.size())][static_cast<size_t>(g / dp.size())]
                   .get<std::string>();
  return records;
}

std::string inputs_of(const Job& job, const Source& source, int64_t first, int64_t end) {
  const SamplingOptions& s = job.by.options.sampling;
  return fmt::format(
      "teacher {} in {}\ndata {} [{}, {}) from item {}\ntokenizer {}\nmax_length {} max_new_tokens "
      "{} temperature {} top_k {} top_p {} stop {}\nseed {}\n",
      job.by.teacher_hash, job.run.config.distill.teacher_dtype, dataset_hash(source.dataset),
      first, end, source.first_item, job.tokenizer.hash(), job.by.options.max_length,
      s.max_new_tokens, s.temperature, s.top_k, s.top_p, fmt::join(s.stop_ids, ","),
      job.by.options.seed);
}

// The folder with the answers to one data set.
std::string answer_source(const Job& job, const Source& source, size_t number, Metrics& metrics) {
  StageFolder folder(fmt::format("{}/seq_kd/{}", job.run.config.output_dir, number),
                     job.mesh.world());
  const int64_t documents = source.dataset.documents();
  int64_t answered = 0;
  for (int64_t first = 0; first < documents; first += kFileDocuments) {
    if (any(job.mesh.world(), job.run.stop_requested))
      throw Stopped(
          "stopped while the teacher answers; start again to continue behind the files "
          "that are finished");
    const int64_t end = std::min(first + kFileDocuments, documents);
    const std::string records = folder.text(
        fmt::format("answers-{:05}.jsonl", first / kFileDocuments),
        inputs_of(job, source, first, end), [&] { return answer(job, source, first, end); });
    answered += std::count(records.begin(), records.end(), '\n');
    metrics.note(fmt::format("teacher: answered {} of {} documents", end, documents));
  }
  if (answered == 0) {
    throw std::invalid_argument(fmt::format(
        "distill.seq_kd: {} has no document with a target and room for an answer in {} tokens; "
        "raise data.max_length",
        source.dataset.folder(), job.by.options.max_length));
  }
  if (answered < documents) {
    metrics.note(fmt::format(
        "teacher: {} documents without a target, or without room for an answer, are left out",
        documents - answered));
  }
  return folder.folder();
}

}  // namespace

Datasets answered_datasets(const RunContext& run, const RunData& data, const TeacherAnswers& by,
                           Mesh& mesh, Metrics& metrics) {
  const Job job{run, data.tokenizer, by, mesh};
  std::vector<DataSource> sources;
  int64_t first_item = 0;
  for (size_t i = 0; i < data.train.size(); ++i) {
    const std::string folder = answer_source(job, {*data.train[i], first_item}, i, metrics);
    sources.push_back({.path = folder + "/answers-*.jsonl", .shape = "tokens"});
    first_item += data.train[i]->documents();
  }
  return open_datasets(run.config, sources, data.tokenizer, run.cache_dir, mesh, metrics,
                       &run.stop_requested);
}

}  // namespace lathe
