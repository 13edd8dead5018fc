#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/curate/curate.h"
#include "trainer/config.h"

// Everything lathe curate can be told.
namespace lathe {

struct CurateSourceConfig {
  std::string path, name, shape = "auto", tier = "silver", licence, generator;
  std::vector<std::string> filters, parents;
  TextMap columns, tags;
};

template <class V>
void fields(V& v, CurateSourceConfig& c) {
  v("path", c.path,
    "file (.jsonl, .json, .parquet, .csv, .tsv, .txt, .warc, .wet; also .gz, .zst), glob or folder of them");
  v("name", c.name, "folder of what is kept of it; empty: the path's own name");
  v("filters", c.filters, "instead of the top's filters; none: keep all that is no duplicate");
  v("tier", c.tier, "how far it may be trusted; the better survives of duplicates",
    one_of({"gold", "silver", "synthetic"}));
  v("licence", c.licence, "written into every record");
  v("generator", c.generator, "what made it, where it is synthetic");
  v("parents", c.parents, "what it was made from, where it is synthetic");
  v("shape", c.shape, "keys of the records; auto: told by the first record",
    one_of({"auto", "text", "messages", "prompt_completion", "query_response", "alpaca", "sharegpt",
            "segments", "preference", "unpaired"}));
  v("columns", c.columns, "what the files call a key of the shape: {text: body}");
  v("tags", c.tags,
    "what the turns of a conversation are made of: role_tag, content_tag, user_tag, assistant_tag, "
    "...");
}

struct EvaluationConfig {
  std::string path, name;
  std::vector<std::string> keys;
};

template <class V>
void fields(V& v, EvaluationConfig& c) {
  v("path", c.path, "evaluation items (JSON lines or a JSON list), which must not be trained on");
  v("name", c.name, "of the task, for the report; empty: the path's own name");
  v("keys", c.keys,
    "where an item's text stands, the first that is there: [prompt] or [doc.query]; empty: the "
    "usual ones");
}

struct DuplicatesConfig {
  bool exact = true, near = true;
  std::string kind = "fast", quality = "words";
  double repeated_sentences = 0, repeated_paragraphs = 0;
  int64_t ngram = 5, bands = 14, rows = 8, most_same_answers = 0, memory_mb = 256;
  int64_t paragraph_ngram = 13, bloom_mb = 256;
  double repeated_substrings = 0;
  bool cut_substrings = false;
  int64_t substring_bytes = 200, suffix_array_mb = 256;
};

template <class V>
void fields(V& v, DuplicatesConfig& c) {
  v("exact", c.exact,
    "drop documents with the same words (case, punctuation, numbers and accents aside)");
  v("near", c.near, "drop near duplicates, by MinHash");
  v("kind", c.kind, "compatible: datatrove's 61-bit signatures; fast: 32 bits",
    one_of({"fast", "compatible"}));
  v("ngram", c.ngram, "words of an n-gram", between(1, 64));
  v("bands", c.bands, "bands of a signature; alike by one band is alike", between(1, 256));
  v("rows", c.rows, "hashes of a band: similarity s is found with 1-(1-s^rows)^bands",
    between(1, 64));
  v("most_same_answers", c.most_same_answers,
    "records that may have the same answer; 0: any number", at_least(0));
  v("repeated_sentences", c.repeated_sentences,
    "drop documents of whose spans of three sentences this share stands in better ones or before; "
    "0: not looked for",
    between(0.0, 1.0));
  v("repeated_paragraphs", c.repeated_paragraphs,
    "the same for n-grams of paragraphs, by a Bloom filter; 0: not looked for", between(0.0, 1.0));
  v("paragraph_ngram", c.paragraph_ngram, "words of such an n-gram; shorter paragraphs have none",
    between(1, 1024));
  v("bloom_mb", c.bloom_mb, "most memory of that filter; the report says how often it errs",
    at_least(1));
  v("repeated_substrings", c.repeated_substrings,
    "drop documents of whose bytes this share stands, in substrings of at least substring_bytes, "
    "in "
    "better ones or before; by suffix arrays; 0: none",
    between(0.0, 1.0));
  v("cut_substrings", c.cut_substrings,
    "cut such substrings out of plain texts that stay; one of which nothing is left is dropped");
  v("substring_bytes", c.substring_bytes,
    "the shortest substring that counts; 200 bytes are about 50 tokens of English", at_least(1));
  v("suffix_array_mb", c.suffix_array_mb,
    "memory of a suffix array: a tenth of it is the text that is compared at once; on to the next "
    "goes only what was found repeated",
    between(1, 16384));
  v("quality", c.quality,
    "signal that says which duplicate survives within a tier: the one with more of it");
  v("memory_mb", c.memory_mb, "hashes that are sorted at once; more are done in turns",
    at_least(1));
}

struct UnigramConfig {
  std::string frequencies;
  std::vector<std::string> corpus;
};

template <class V>
void fields(V& v, UnigramConfig& c) {
  v("frequencies", c.frequencies,
    "file of words with their counts, one a line (\"the,23135851162\"), for the filter unigram");
  v("corpus", c.corpus, "instead: files, globs or folders of texts in which words are counted");
}

struct QualityConfig {
  std::vector<std::string> positives, negatives;
  std::string model, label = "hq";
  double held_out = 0.1, lr = 0.5;
  int64_t most_examples = 50'000, word_ngrams = 2, dim = 32, epoch = 10, bucket = 200'000;
};

template <class V>
void fields(V& v, QualityConfig& c) {
  v("positives", c.positives,
    "files, globs or folders of good texts: a classifier is trained of them and the negatives and "
    "kept as output_dir/quality/model.bin");
  v("negatives", c.negatives, "the same of other texts");
  v("model", c.model, "instead: a fastText classifier that is there (.bin)");
  v("label", c.label, "of good texts in that model, without __label__");
  v("held_out", c.held_out,
    "share of the examples that only measures precision and recall; texts are cut into examples "
    "of at most 4 KiB",
    between(0.0, 0.9));
  v("most_examples", c.most_examples, "of each side", at_least(1));
  v("word_ngrams", c.word_ngrams, "words of the longest n-gram that the classifier looks at",
    between(1, 16));
  v("dim", c.dim, "of its vectors", between(1, 1024));
  v("bucket", c.bucket, "vectors that n-grams share", between(1, 10'000'000));
  v("epoch", c.epoch, "how often it is trained on every example", between(1, 1000));
  v("lr", c.lr, "its learning rate", above(0));
}

struct LikelihoodConfig {
  std::string model_name_or_path, dtype = "fp32";
  int64_t max_length = 2048;
};

template <class V>
void fields(V& v, LikelihoodConfig& c) {
  v("model_name_or_path", c.model_name_or_path,
    "Hugging Face folder, or org/name in the local cache, of a language model that scores every "
    "text as lathe score does");
  v("dtype", c.dtype, "that it computes in", one_of({"fp32", "bf16", "auto"}));
  v("max_length", c.max_length,
    "tokens that are scored together, at most the model's own most; longer texts are scored in "
    "such windows",
    at_least(2));
}

struct UrlConfig {
  std::string domains, hard_words, soft_words;
};

template <class V>
void fields(V& v, UrlConfig& c) {
  v("domains", c.domains, "file with domains, one a line, for the filter url");
  v("hard_words", c.hard_words, "file with words of which one in an address is enough");
  v("soft_words", c.soft_words, "file with words of which two are needed");
}

struct MixStageConfig {
  double start = 0;
  TextMap shares;
};

template <class V>
void fields(V& v, MixStageConfig& c) {
  v("start", c.start,
    "where the stage begins: below 1 a share of all steps of training, else a step", above(0));
  v("shares", c.shares, "as mix.shares, from there on; 0 leaves a source or tier out");
}

struct MixConfig {
  TextMap shares, most_words;
  double most_repeats = 4;
  std::vector<MixStageConfig> stages;
  std::string order_by, order = "ascending";
};

template <class V>
void fields(V& v, MixConfig& c) {
  v("shares", c.shares,
    "of an epoch's words, by source or tier: {gold: 0.3, replay: 0.1}; what is left goes to the "
    "others by their words");
  v("most_words", c.most_words, "most words of a source per epoch: {web: 1e9}");
  v("most_repeats", c.most_repeats, "most times a document is taken per epoch", above(0));
  v("order_by", c.order_by,
    "a signal by which training takes documents instead of shuffling them: quality; empty: none");
  v("order", c.order, "those with the least of it first, or with the most",
    one_of({"ascending", "descending"}));
  v("stages", c.stages,
    "a curriculum, behind mix.shares: [{start: 0.8, shares: {gold: 0.9, web: 0.1}}]; general data "
    "that keep a "
    "share are replayed against forgetting");
}

struct CurateConfig {
  std::string output_dir = "curated";
  std::vector<CurateSourceConfig> sources;
  std::vector<std::string> filters = {"gopher_repetition", "gopher_quality", "c4", "fineweb",
                                      "contamination"};
  std::vector<std::string> drop;
  TextMap thresholds;
  std::vector<std::string> languages;
  std::vector<EvaluationConfig> evaluations;
  int64_t ngram = 13, item_ngram = 8;
  std::string tokenizer, occupations, pii = "tag", rewrite = "none";
  DuplicatesConfig duplicates;
  UrlConfig url;
  std::string language_model;
  QualityConfig quality_classifier;
  UnigramConfig unigram;
  LikelihoodConfig likelihood;
  MixConfig mix;
  int64_t threads = 0, block_mb = 8;
};

template <class V>
void fields(V& v, CurateConfig& c) {
  v("output_dir", c.output_dir, "kept/, excluded/, signals/, report.json and report.html");
  v("sources", c.sources,
    "what is read: a path, or a list of {path, name, filters, tier, licence, ...}", required());
  v("filters", c.filters,
    "whose rules decide, in this order: url, gopher_repetition, gopher_quality, c4, c4_paragraph, "
    "fineweb, english, dclm, "
    "language, unigram, quality, likelihood, contamination, pii, chat");
  v("drop", c.drop, "rules of your own over signals: [\"words < 50 or stop_words < 2\"]");
  v("thresholds", c.thresholds, "other thresholds for rules: {gopher_short_doc: 20}");
  v("languages", c.languages, "codes that the filter language wants: [en, de]");
  v("language_model", c.language_model,
    "fastText model that tells languages (lid.176.bin: labels such as __label__en); empty: CLD2 "
    "does");
  v("evaluations", c.evaluations,
    "for the filter contamination: a path, or a list of {path, name, keys}");
  v("ngram", c.ngram, "words in a row that make a document contaminated", at_least(1));
  v("item_ngram", c.item_ngram,
    "words in a row that count as covered of an item, for records of instructions", at_least(1));
  v("tokenizer", c.tokenizer,
    "folder or tokenizer.json whose tokens the report counts, by stage and as lengths; empty: it counts words");
  v("occupations", c.occupations,
    "tab-separated occupations with the share of women (WinoGender's occupations-stats.tsv); the report holds against it how "
    "often each stands in a sentence with words of women and of men; empty: not counted");
  v("pii", c.pii,
    "personal data in what is kept: count it in the record, or mask it; to drop, use the filter "
    "pii",
    one_of({"tag", "mask"}));
  v("rewrite", c.rewrite, "texts become the lines that these rules keep",
    one_of({"none", "c4", "dclm"}));
  v("duplicates", c.duplicates, "which documents count as the same, and which of them survives");
  v("mix", c.mix, "how often training takes what was kept; data.train: output_dir follows it");
  v("url", c.url, "lists for the filter url");
  v("quality_classifier", c.quality_classifier,
    "a fastText classifier of good texts, trained here or given, for the filter quality");
  v("likelihood", c.likelihood, "a language model of ours, for the filter likelihood");
  v("unigram", c.unigram, "how often words occur, for the filter unigram");
  v("threads", c.threads, "0: all cores", between(0, 1024));
  v("block_mb", c.block_mb, "records that are read at once and written as one part",
    between(1, 1024));
}

// The config as data/curate takes it: paths expanded, lists read. std::invalid_argument names the
// key.
CurateOptions curate_options(const CurateConfig& config, const ResolvedConfig& resolved);

// What people are told of all filters: their rules with thresholds, and their signals.
std::string curate_filters_text();

}  // namespace lathe
