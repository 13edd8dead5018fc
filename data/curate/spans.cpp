#include "data/curate/spans.h"

namespace lathe {
namespace {

uint64_t combine(uint64_t hash, uint64_t next) {
  const auto product =
      static_cast<unsigned __int128>(hash ^ next) * uint64_t{0x9E3779B97F4A7C15};
  return (static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64)) +
         0xD6E8FEB86659FD93;
}

}  // namespace

void append_sentence_spans(const SplitText& text, std::vector<uint64_t>& hashes) {
  constexpr size_t kSentences = 3;
  uint64_t last[kSentences] = {};
  size_t count = 0;
  const auto add = [&](uint64_t sentence) {
    last[count++ % kSentences] = sentence;
    if (count < kSentences) return;
    uint64_t hash = 0;
    for (size_t k = 0; k < kSentences; ++k) hash = combine(hash, last[(count + k) % kSentences]);
    hashes.push_back(hash | 1);
  };
  for (const TextLine& line : text.lines()) {
    uint64_t sentence = 0;
    bool any = false;
    for (uint32_t w = line.first_word; w < line.end_word; ++w) {
      const Word& word = text.words()[w];
      sentence = combine(sentence, word.hash);
      any = true;
      if (!(word.bits & kSentenceEnd)) continue;
      add(sentence);
      sentence = 0;
      any = false;
    }
    if (any) add(sentence);
  }
}

void append_paragraph_ngrams(const SplitText& text, size_t ngram, std::vector<uint64_t>& hashes) {
  for (const TextLine& line : text.lines()) {
    for (size_t begin = line.first_word; begin + ngram <= line.end_word; begin += ngram) {
      uint64_t hash = 0;
      for (size_t k = begin; k < begin + ngram; ++k) hash = combine(hash, text.words()[k].hash);
      hashes.push_back(hash | 1);
    }
  }
}

}  // namespace lathe
