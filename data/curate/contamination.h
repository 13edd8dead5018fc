#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/curate/simple_text.h"

// The n-grams of evaluation items, and which of them a document holds. Words are compared in simple
// text: case, punctuation, accents and numbers make no difference.
namespace lathe {

struct EvaluationItem {
  std::string task;  // the name of its file's entry in the config
  std::string id;    // its own, else its line
  std::string text;
};

struct ContaminationOptions {
  int64_t document_ngram = 13;  // one hit is enough for a document
  int64_t item_ngram = 8;       // of these, those of an item that one record holds are counted
};

struct ContaminationHit {
  int64_t item = -1;
  size_t first_word = 0, num_words = 0;  // of the document
};

class Contamination {
 public:
  Contamination(const ContaminationOptions& options, std::vector<EvaluationItem> items);

  // The first document_ngram that an item has too; item -1: none.
  ContaminationHit find_span(const SimpleText& text) const;
  // The item of which the largest share of words lies in item_ngrams that this record holds.
  struct Coverage {
    int64_t item = -1;
    double share = 0;
    size_t first_word = 0, num_words = 0;
  };
  Coverage find_coverage(const SimpleText& text) const;

  const std::vector<EvaluationItem>& items() const { return items_; }
  int64_t num_too_short() const { return num_too_short_; }  // for document_ngram

 private:
  struct Gram {
    uint64_t hash;
    uint32_t item, place;
  };
  // A table of hashes behind a filter of bits, which says no to nearly all.
  struct Index {
    std::vector<Gram> grams;  // by hash
    std::vector<uint64_t> bits;
    uint64_t mask = 0;
    void finish();
    bool may_hold(uint64_t hash) const { return bits[(hash & mask) >> 6] >> (hash & 63) & 1; }
    const Gram* find(uint64_t hash) const;  // the first with it
  };
  void add_grams(Index& index, const SimpleText& text, size_t ngram, uint32_t item);

  ContaminationOptions options_;
  std::vector<EvaluationItem> items_;
  std::vector<uint32_t> num_words_;
  Index documents_, coverage_;
  int64_t num_too_short_ = 0;
};

// The items of an evaluation file: what stands at the given keys ("prompt", "doc.query"; the first
// that is there), else at the usual ones. Throws std::invalid_argument when an item has none.
std::vector<EvaluationItem> read_evaluation_items(const std::string& path, const std::string& task,
                                                  const std::vector<std::string>& keys);

}  // namespace lathe
