#pragma once

#include <cstdint>
#include <vector>

#include "data/curate/decide.h"

// Documents that say mostly what others say, though they are no near duplicates of any one of
// them. Documents are asked tier by tier, the best first, and in their order; only what is kept
// counts as said.
namespace lathe {

struct SpanRule {
  uint16_t reason;
  double share;  // of a document's spans that stand elsewhere, from which on it goes
};

// Exact up to equal 64-bit hashes. Memory: most_bytes while looking, then 9 bytes for each span
// that occurs more than once.
void drop_repeated_sentences(Decisions& decisions, const ForEachBlock& for_each,
                             const std::vector<uint8_t>& tiers, const SpanRule& rule,
                             int64_t most_bytes);

// In most_bytes. Writes the filter's size and rate of errors into decisions.
void drop_repeated_paragraphs(Decisions& decisions, const ForEachBlock& for_each,
                              const std::vector<uint8_t>& tiers, const SpanRule& rule,
                              int64_t most_bytes);

}  // namespace lathe
