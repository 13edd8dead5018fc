#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/curate/curate.h"
#include "data/curate/expression.h"
#include "data/curate/filter.h"
#include "data/curate/signal_block.h"

// From stored signals to what becomes of every document.
namespace lathe {

// Why a document may be dropped. Its place in the table is what is kept per document.
struct Reason {
  std::string stage, rule;
  std::string signal;  // empty: none
  double threshold = 0;
  FilterRule::Side side = FilterRule::kAbove;
};

inline constexpr uint16_t kKept = 0, kUnreadable = 1;

// The rules of every source, in the order in which they are asked.
class Rules {
 public:
  // Throws std::invalid_argument for filters, thresholds and expressions that are none.
  explicit Rules(const CurateOptions& options);

  // The first reason to drop a document, and the value that was too much or too little.
  struct Verdict {
    uint16_t reason = kKept;
    double value = 0;
  };
  Verdict decide(size_t source, const double* signals) const;

  const std::vector<Reason>& reasons() const { return reasons_; }
  uint16_t exact_duplicate() const { return exact_; }
  uint16_t near_duplicate() const { return exact_ + 1; }
  uint16_t same_answer() const { return exact_ + 2; }
  uint16_t repeated_sentences() const { return exact_ + 3; }
  uint16_t repeated_paragraphs() const { return exact_ + 4; }
  uint16_t repeated_substrings() const { return exact_ + 5; }

 private:
  struct Step {
    uint16_t reason;
    size_t signal;
    FilterRule::Side side;
    double threshold;
  };
  void add_filters(const CurateOptions& options);

  std::vector<Reason> reasons_;
  std::vector<std::vector<Step>> steps_;  // by source
  std::vector<std::pair<uint16_t, Expression>> expressions_;
  uint16_t exact_ = 0;
};

// All stored blocks in order; the callback may keep nothing.
using ForEachBlock = std::function<void(const std::function<void(size_t, const SignalBlock&)>&)>;

// The texts of all documents of a tier for which wanted(document) holds, in their order; `plain`
// where a record is nothing but its text.
using ForEachText = std::function<void(
    Tier tier, const std::function<bool(size_t document)>& wanted,
    const std::function<void(size_t document, std::string_view text, bool plain)>&)>;

// Bytes of a document's text that what is kept of it goes without.
struct TextCut {
  uint32_t document = 0, begin = 0, end = 0;
  bool operator==(const TextCut&) const = default;
};

struct Decisions {
  std::span<const TextCut> cuts_of(size_t document) const;

  std::vector<uint16_t> reasons;   // by number of the document
  std::vector<uint32_t> survivor;  // of its duplicates; of others itself
  // What was held against a threshold, of documents that were dropped by comparison with others.
  std::unordered_map<uint32_t, double> values;
  std::vector<size_t> first;  // number of the first document of each block
  std::vector<TextCut> cuts;  // by document, then by place
  // Of the filter that found repeated paragraphs; bytes 0: there was none.
  int64_t bloom_bytes = 0;
  double bloom_false_positives = 0;  // the share of new n-grams that it takes for old ones, at most
};

Decisions decide_all(const CurateOptions& options, const Rules& rules, const ForEachBlock& for_each,
                     const ForEachText& for_each_text);

}  // namespace lathe
