#include "recipes/curate_config.h"

#include <fmt/format.h>

#include <filesystem>
#include <thread>

#include "data/curate/filter.h"
#include "recipes/number_text.h"

namespace lathe {
namespace {

// folder/chats.jsonl.gz -> chats
std::string own_name(const std::string& path) {
  std::string name = std::filesystem::path(path).filename().string();
  if (name.empty()) name = std::filesystem::path(path).parent_path().filename().string();
  std::string plain;
  for (const char c : name.substr(0, name.find('.')))
    plain += c == '*' || c == '?' || c == '[' || c == ']' ? '_' : c;
  return plain.empty() ? "source" : plain;
}

Tier tier_of(const std::string& name) {
  return name == "gold" ? Tier::kGold : name == "silver" ? Tier::kSilver : Tier::kSynthetic;
}

CurateSource source_of(const CurateConfig& config, const CurateSourceConfig& c) {
  CurateSource source;
  source.name = c.name.empty() ? own_name(c.path) : c.name;
  source.files = expand_paths(c.path);
  source.reading = Reading(shape_named(c.shape));
  source.reading.columns = c.columns;
  source.reading.tags = c.tags;
  source.tier = tier_of(c.tier);
  source.licence = c.licence;
  source.generator = c.generator;
  source.parents = c.parents;
  source.filters = c.filters.empty() ? config.filters : c.filters;
  if (source.filters == std::vector<std::string>{"none"}) source.filters.clear();
  return source;
}

UrlLists url_lists(const UrlConfig& config) {
  UrlLists lists;
  if (!config.domains.empty()) {
    for (std::string& domain : read_word_list(config.domains))
      lists.domains.insert(std::move(domain));
  }
  if (!config.hard_words.empty()) lists.hard_words = read_word_list(config.hard_words);
  if (!config.soft_words.empty()) lists.soft_words = read_word_list(config.soft_words);
  return lists;
}

std::vector<std::string> expand_all(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    for (std::string& file : expand_paths(path)) files.push_back(std::move(file));
  }
  return files;
}

}  // namespace

CurateOptions curate_options(const CurateConfig& config, const ResolvedConfig& resolved) {
  CurateOptions options;
  for (const CurateSourceConfig& source : config.sources)
    options.sources.push_back(source_of(config, source));
  options.drop = config.drop;
  for (const auto& [rule, text] : config.thresholds)
    options.thresholds[rule] = number_of(text, resolved.where("thresholds"), "thresholds");
  options.urls = url_lists(config.url);
  options.languages = config.languages;
  options.language_model = config.language_model;
  const QualityConfig& q = config.quality_classifier;
  options.quality_classifier = {
      .positives = expand_all(q.positives),
      .negatives = expand_all(q.negatives),
      .model = q.model,
      .label = q.label,
      .training = {.word_ngrams = static_cast<int>(q.word_ngrams),
                   .dim = static_cast<int>(q.dim),
                   .epoch = static_cast<int>(q.epoch),
                   .bucket = static_cast<int>(q.bucket),
                   .lr = q.lr},
      .held_out = q.held_out,
      .most_examples = q.most_examples};
  options.unigram = {config.unigram.frequencies, expand_all(config.unigram.corpus)};
  for (const EvaluationConfig& e : config.evaluations)
    options.evaluations.push_back(
        {e.name.empty() ? own_name(e.path) : e.name, expand_paths(e.path), e.keys});
  options.contamination = {config.ngram, config.item_ngram};
  const DuplicatesConfig& d = config.duplicates;
  options.exact = d.exact;
  options.near = d.near;
  options.minhash = {
      .kind = min_hash_kind_named(d.kind), .ngram = d.ngram, .bands = d.bands, .rows = d.rows};
  options.most_same_answers = d.most_same_answers;
  options.repeated_sentences = d.repeated_sentences;
  options.repeated_paragraphs = d.repeated_paragraphs;
  options.paragraph_ngram = d.paragraph_ngram;
  options.bloom_bytes = d.bloom_mb << 20;
  options.repeated_substrings = d.repeated_substrings;
  options.cut_substrings = d.cut_substrings;
  options.substring_bytes = d.substring_bytes;
  options.suffix_array_bytes = d.suffix_array_mb << 20;
  options.quality = d.quality;
  options.dedup_bytes = d.memory_mb << 20;
  const auto numbers_of = [&](const TextMap& texts, const char* key) {
    std::map<std::string, double> numbers;
    for (const auto& [name, text] : texts)
      numbers[name] = number_of(text, resolved.where(key), key);
    return numbers;
  };
  options.mixture.shares = numbers_of(config.mix.shares, "mix.shares");
  options.mixture.most_words = numbers_of(config.mix.most_words, "mix.most_words");
  for (const MixStageConfig& stage : config.mix.stages)
    options.mixture.stages.push_back({stage.start, numbers_of(stage.shares, "mix.stages")});
  options.mixture.order_by = config.mix.order_by;
  options.mixture.descending = config.mix.order == "descending";
  options.mixture.most_repeats = config.mix.most_repeats;
  options.tokenizer = config.tokenizer;
  options.occupations = config.occupations;
  options.pii = config.pii == "mask" ? PiiAction::kMask : PiiAction::kTag;
  options.rewrite = config.rewrite == "c4"     ? TextRewrite::kC4
                    : config.rewrite == "dclm" ? TextRewrite::kDclm
                                               : TextRewrite::kNone;
  options.block_bytes = config.block_mb << 20;
  options.threads = config.threads > 0
                        ? static_cast<int>(config.threads)
                        : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return options;
}

std::string curate_filters_text() {
  constexpr const char* kSides[] = {"<", ">", ">="};
  std::string text;
  for (const Filter& filter : filter_table()) {
    text += fmt::format("{}: {}\n", filter.name, filter.sentence);
    for (const FilterRule& rule : filter.rules)
      text += fmt::format("  drops {:<28} {} {} {}\n", rule.name, rule.signal, kSides[rule.side],
                          rule.threshold);
    for (const Signal& signal : filter.signals)
      text += fmt::format("  signal {:<22} {}\n", signal.name, signal.meaning);
  }
  return text;
}

}  // namespace lathe
