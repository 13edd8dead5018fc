#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "data/curate/split_text.h"

// Hashes of parts of a document, by which repeated parts are found in other documents. They are of
// the words, letter for letter; white space is no matter.
namespace lathe {

// Every three sentences in a row, as C4 looks for them. A sentence ends with its mark or its line.
// Appends to hashes; nothing for a document of fewer than three.
void append_sentence_spans(const SplitText& text, std::vector<uint64_t>& hashes);

// Of every paragraph (a line) the n-grams side by side from its first word, so that equal
// paragraphs have equal ones. A paragraph of fewer words has none.
void append_paragraph_ngrams(const SplitText& text, size_t ngram, std::vector<uint64_t>& hashes);

}  // namespace lathe
