#include "data/curate/curate_keys.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "data/corpus/shapes.h"
#include "data/curate/filter.h"
#include "data/shards/file.h"
#include "data/shards/hash.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json file_hashes(const std::vector<std::string>& files) {
  json list = json::array();
  for (const std::string& path : files) {
    const ReadFile file(path);
    list.push_back(
        {fs::path(path).filename().string(), file.bytes(), hex16(file.hash(0, file.bytes()))});
  }
  return list;
}

}  // namespace

CurateKeys make_keys(const CurateOptions& o, const std::string& tokenizer_hash) {
  json signals = {
      {"format", 2},
      {"block", o.block_bytes},
      {"near", o.near},
      {"spans", {o.repeated_sentences > 0, o.repeated_paragraphs > 0 ? o.paragraph_ngram : 0}},
      {"languages", o.languages},
      {"minhash",
       {static_cast<int>(o.minhash.kind), o.minhash.ngram, o.minhash.bands, o.minhash.rows,
        o.minhash.seed}},
      {"contamination", {o.contamination.document_ngram, o.contamination.item_ngram}}};
  signals["tokenizer"] = tokenizer_hash;
  if (!o.occupations.empty()) signals["occupations"] = file_hashes({o.occupations});
  if (!o.unigram.empty())
    signals["unigram"] = {file_hashes(o.unigram.files),
                          o.unigram.frequencies.empty() ? json()
                                                        : file_hashes({o.unigram.frequencies})};
  if (!o.language_model.empty()) signals["language_model"] = file_hashes({o.language_model});
  const QualityOptions& q = o.quality_classifier;
  json quality;
  if (q.trains()) {
    quality = {file_hashes(q.positives), file_hashes(q.negatives), q.training.word_ngrams,
               q.training.dim,           q.training.epoch,         q.training.bucket,
               q.training.lr,            q.held_out,               q.most_examples};
  } else if (!q.empty()) {
    quality = {file_hashes({q.model}), q.label};
  }
  if (o.likelihood.score) signals["likelihood"] = o.likelihood.key;
  if (!q.empty()) signals["quality"] = quality;
  for (const Filter& filter : filter_table())
    signals["filters"].push_back({filter.name, filter.version});
  signals["domains"] = std::set<std::string>(o.urls.domains.begin(), o.urls.domains.end());
  signals["url_words"] = {o.urls.hard_words, o.urls.soft_words};
  for (const EvaluationSource& e : o.evaluations)
    signals["evaluations"].push_back({e.task, e.keys, file_hashes(e.files)});
  json output;
  for (const CurateSource& s : o.sources) {
    signals["sources"].push_back(
        {shape_name(s.reading.shape), s.reading.columns, s.reading.tags, file_hashes(s.files)});
    output["sources"].push_back(
        {s.name, static_cast<int>(s.tier), s.licence, s.generator, s.parents, s.filters});
  }
  const std::string signals_key = hex16(hash_bytes(signals.dump()));
  output["signals"] = signals_key;
  output["drop"] = o.drop;
  output["thresholds"] = o.thresholds;
  output["mixture"] = {o.mixture.shares, o.mixture.most_words, o.mixture.most_repeats};
  for (const MixtureStage& stage : o.mixture.stages)
    output["mixture"].push_back({stage.start, stage.shares});
  if (!o.mixture.order_by.empty())
    output["mixture"].push_back({o.mixture.order_by, o.mixture.descending});
  output["rest"] = {o.exact,
                    o.near,
                    o.most_same_answers,
                    o.repeated_sentences,
                    o.repeated_paragraphs,
                    o.bloom_bytes,
                    o.repeated_substrings,
                    o.cut_substrings,
                    o.substring_bytes,
                    o.suffix_array_bytes,
                    o.quality,
                    static_cast<int>(o.pii),
                    static_cast<int>(o.rewrite)};
  return {signals_key, hex16(hash_bytes(output.dump())), hex16(hash_bytes(quality.dump()))};
}

}  // namespace lathe
