#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/curate/decide.h"

// Exact substrings that were said before (Lee et al. 2021, "Deduplicating Training Data Makes
// Language Models Better"). A byte is repeated when it lies in a substring of at least
// `bytes` that stands in a document of a better tier, in one of the same tier before, or earlier in
// its own document without overlap. Only what is kept counts as said, so the first stays whole.
namespace lathe {

struct SubstringRule {
  uint16_t reason;
  size_t bytes;        // of the shortest substring that counts
  double share;        // of a document's bytes that are repeated, from which on it goes
  bool cut;            // the repeated bytes go from those that stay, where these are plain texts
  int64_t most_bytes;  // of memory
  int threads;
};

// Documents are looked at in blocks of most_bytes / 10 bytes of text (at least one document). From
// block to block goes, up to a quarter of one, every substring that was found repeated before,
// those found again first: so what stands everywhere stays once. What stands once in each of two
// blocks is not found. A document of which nothing but white space is left goes whatever the share.
// Spans that are cut begin and end at characters. Fills decisions.reasons, values and cuts.
void drop_repeated_substrings(Decisions& decisions, const ForEachText& for_each_text,
                              const SubstringRule& rule);

// The text without its cuts; a new line where two words would become one.
std::string without_cuts(std::string_view text, std::span<const TextCut> cuts);

}  // namespace lathe
