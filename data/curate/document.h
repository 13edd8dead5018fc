#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/corpus.h"
#include "data/curate/ngram_table.h"
#include "data/curate/simple_text.h"
#include "data/curate/split_text.h"
#include "data/curate/url_lists.h"

namespace lathe {

// How far what is in a source may be trusted, the best first.
enum class Tier { kGold, kSilver, kSynthetic };

// A record as the filters see it. Of a conversation the text is what all its messages say.
struct Document {
  std::string text;
  std::string url;                     // empty: none
  const Conversation* chat = nullptr;  // of a conversation
  std::vector<std::string> answers;    // what is to be learnt, of pairs and conversations
};

// What filters work in, kept from document to document so that nothing is allocated anew.
struct Workspace {
  NgramTable ngrams;
  std::vector<uint8_t> counts;
  std::vector<uint32_t> places, chosen;
  std::vector<uint64_t> hashes;
  SplitText split;
  std::string text;
};

class Contamination;
class Occupations;
class TextClassifier;
class Tokenizer;
class Unigrams;

// What filters hold documents against; shared by all threads.
struct Resources {
  UrlLists urls;
  std::vector<std::string> languages;            // that are wanted; empty: any, and none is told
  const TextClassifier* language_model = nullptr;  // tells them; nullptr: CLD2 does
  const TextClassifier* quality = nullptr;         // nullptr: it is not asked
  std::string quality_label;                       // of a good text
  const Occupations* occupations = nullptr;      // nullptr: they are not counted
  const Tokenizer* tokenizer = nullptr;          // nullptr: tokens are not counted
  const Unigrams* unigrams = nullptr;            // nullptr: words are not looked up
  const Contamination* contamination = nullptr;  // nullptr: there is nothing to look for
};

// What filters find besides numbers.
struct Findings {
  std::string language;                   // its code; empty: not asked
  int64_t item = -1;                      // of the evaluation, that the document holds; -1: none
  uint32_t span_begin = 0, span_end = 0;  // bytes of the text that it matches
};

// A document with what all filters share, made once.
struct Measured {
  const Document& document;
  const SplitText& split;
  const SimpleText& simple;
  Workspace& work;
  const Resources& resources;
  Findings& findings;
};

}  // namespace lathe
