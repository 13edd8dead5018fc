#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/corpus/corpus.h"
#include "data/curate/contamination.h"
#include "data/curate/document.h"
#include "data/curate/likelihood.h"
#include "data/curate/minhash.h"
#include "data/curate/mixture.h"
#include "data/curate/quality_classifier.h"
#include "data/curate/unigrams.h"
#include "data/curate/url_lists.h"

// Raw files -> kept records, and a reason for every one that was not kept. Three passes: signals
// are measured once and stored, rules and duplicates are decided over what is stored, records are
// written.
namespace lathe {

struct CurateSource {
  std::string name;                // folder of what is kept of it; unique
  std::vector<std::string> files;  // expanded
  Reading reading = {};
  Tier tier = Tier::kSilver;
  std::string licence = {};
  std::string generator = {};             // what made it, where it is synthetic
  std::vector<std::string> parents = {};  // from what
  std::vector<std::string> filters = {};  // in the order in which they decide
};

struct EvaluationSource {
  std::string task;
  std::vector<std::string> files, keys;
};

enum class PiiAction { kTag, kMask };  // dropping is the filter pii
enum class TextRewrite { kNone, kC4, kDclm };

struct CurateOptions {
  std::vector<CurateSource> sources;
  std::vector<std::string> drop;             // expressions, asked after the filters' rules
  std::map<std::string, double> thresholds;  // of rules by name; others keep their authors'
  UrlLists urls;
  std::vector<std::string> languages;
  std::string language_model;  // a fastText classifier that tells them; empty: CLD2 does
  UnigramOptions unigram;
  QualityOptions quality_classifier;
  LikelihoodModel likelihood;  // without a function: texts are not scored
  std::vector<EvaluationSource> evaluations;
  ContaminationOptions contamination;
  bool exact = true, near = true;
  MinHashOptions minhash;
  int64_t most_same_answers = 0;  // records that may share an answer; 0: any number
  // A document goes of whose three-sentence spans, or n-grams of paragraphs, at least this share
  // stands in documents of better tiers or before it; 0: not looked for. Of sentences those are
  // found exactly, of paragraphs through a Bloom filter of at most bloom_bytes.
  double repeated_sentences = 0, repeated_paragraphs = 0;
  int64_t paragraph_ngram = 13, bloom_bytes = 256 << 20;
  // Substrings of at least substring_bytes that stand in documents of better tiers or before: a
  // document goes of whose bytes this share lies in them (0: none does), and of plain texts that
  // stay they are cut out. 200 bytes are about 50 tokens, as Lee et al. 2021 take it.
  double repeated_substrings = 0;
  bool cut_substrings = false;
  int64_t substring_bytes = 200, suffix_array_bytes = 256 << 20;
  std::string quality = "words";  // the signal that decides between duplicates of one tier
  MixtureOptions mixture;
  std::string tokenizer;  // folder or file; the report counts its tokens. Empty: it counts words
  // Table of occupations with the share of women (see Occupations); the report says which stand
  // beside words of women and of men. Empty: none.
  std::string occupations;
  PiiAction pii = PiiAction::kTag;
  TextRewrite rewrite = TextRewrite::kNone;
  int64_t block_bytes = 8 << 20;
  int64_t dedup_bytes = 256 << 20;  // of hashes that are sorted at once; more are done in turns
  int threads = 1;
};

// read = kept + dropped. The rest is in the folder's report.json.
struct CurateResult {
  int64_t read = 0, kept = 0, dropped = 0;
  int64_t read_bytes = 0, kept_bytes = 0;     // of texts
  std::map<std::string, int64_t> dropped_by;  // rule -> documents
  bool was_there = false;                     // nothing was done: the same was made before
};

// done, total, unit: "measured" in bytes, "written" in documents.
using CurateProgress = std::function<void(const char* pass, int64_t done, int64_t total)>;

// Writes folder/kept/<source>/part-*.jsonl, folder/excluded/<source>/part-*.jsonl, report.json,
// report.html, mixture.json, folder/signals/ and folder/quality/. kept and excluded appear when all is written.
// Called again with the same files it takes up the finished blocks, whatever ended the first call;
// signals that were measured stay valid when only rules change. Byte-identical for any number of
// threads and of interruptions. Memory: four blocks of records, 25 bytes per document, dedup_bytes,
// bloom_bytes, 9 bytes per sentence span that occurs twice, suffix_array_bytes and 12 bytes per
// substring that is cut, some 40 bytes per document that goes for what it repeats. Throws
// std::invalid_argument for what is wrong with options or files.
CurateResult curate(const CurateOptions& options, const std::string& folder,
                    const CurateProgress& progress = {});

}  // namespace lathe
