#include "data/curate/contamination.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace lathe {
namespace {

constexpr uint64_t kBase = 0x9E3779B97F4A7C15;

uint64_t mix(uint64_t hash) {
  hash ^= hash >> 29;
  hash *= 0xBF58476D1CE4E5B9;
  return hash ^ (hash >> 32);
}

// f(place, hash) for every n-gram; f returns whether to go on.
template <class F>
void for_each_ngram(std::span<const uint64_t> words, size_t n, F&& f) {
  if (words.size() < n || n == 0) return;
  uint64_t power = 1, sum = 0;
  for (size_t i = 0; i < n; ++i) {
    sum = sum * kBase + words[i];
    power *= kBase;
  }
  for (size_t i = 0;; ++i) {
    if (!f(i, mix(sum)) || i + n >= words.size()) return;
    sum = sum * kBase + words[i + n] - words[i] * power;
  }
}

}  // namespace

void Contamination::Index::finish() {
  std::sort(grams.begin(), grams.end(), [](const Gram& a, const Gram& b) {
    return std::tie(a.hash, a.item, a.place) < std::tie(b.hash, b.item, b.place);
  });
  size_t size = 1024;
  while (size < 32 * grams.size()) size *= 2;
  bits.assign(size / 64, 0);
  mask = size - 1;
  for (const Gram& gram : grams) bits[(gram.hash & mask) >> 6] |= uint64_t{1} << (gram.hash & 63);
}

const Contamination::Gram* Contamination::Index::find(uint64_t hash) const {
  if (!may_hold(hash)) return nullptr;
  const auto found = std::lower_bound(grams.begin(), grams.end(), hash,
                                      [](const Gram& gram, uint64_t h) { return gram.hash < h; });
  return found != grams.end() && found->hash == hash ? &*found : nullptr;
}

// All numbers are the same here, so that n-grams which are mostly numbers say nothing and are left
// out: every calculation would hold them.
void Contamination::add_grams(Index& index, const SimpleText& text, size_t ngram, uint32_t item) {
  for_each_ngram(text.hashes(), ngram, [&](size_t place, uint64_t hash) {
    size_t numbers = 0;
    for (size_t k = 0; k < ngram; ++k) numbers += text.word(place + k) == "0";
    if (2 * numbers > ngram) return true;
    index.grams.push_back({hash, item, static_cast<uint32_t>(place)});
    return true;
  });
}

Contamination::Contamination(const ContaminationOptions& options, std::vector<EvaluationItem> items)
    : options_(options), items_(std::move(items)) {
  if (options.document_ngram < 1 || options.item_ngram < 1) {
    throw std::invalid_argument(
        fmt::format("curate: decontaminate with ngram {} and item_ngram {}; expected at least 1",
                    options.document_ngram, options.item_ngram));
  }
  SimpleText text;
  for (size_t i = 0; i < items_.size(); ++i) {
    text.make(items_[i].text);
    num_words_.push_back(static_cast<uint32_t>(text.num_words()));
    num_too_short_ += text.num_words() < static_cast<size_t>(options.document_ngram);
    add_grams(documents_, text, static_cast<size_t>(options.document_ngram),
              static_cast<uint32_t>(i));
    add_grams(coverage_, text, static_cast<size_t>(options.item_ngram), static_cast<uint32_t>(i));
  }
  documents_.finish();
  coverage_.finish();
}

ContaminationHit Contamination::find_span(const SimpleText& text) const {
  ContaminationHit hit;
  const auto n = static_cast<size_t>(options_.document_ngram);
  for_each_ngram(text.hashes(), n, [&](size_t place, uint64_t hash) {
    const Gram* gram = documents_.find(hash);
    if (!gram) return true;
    hit = {gram->item, place, n};
    return false;
  });
  return hit;
}

Contamination::Coverage Contamination::find_coverage(const SimpleText& text) const {
  struct Match {
    uint32_t item, place, word;
  };
  std::vector<Match> matches;
  const auto n = static_cast<size_t>(options_.item_ngram);
  for_each_ngram(text.hashes(), n, [&](size_t word, uint64_t hash) {
    const Gram* end = coverage_.grams.data() + coverage_.grams.size();
    for (const Gram* gram = coverage_.find(hash); gram && gram < end && gram->hash == hash; ++gram)
      matches.push_back({gram->item, gram->place, static_cast<uint32_t>(word)});
    return true;
  });
  std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) {
    return std::tie(a.item, a.place, a.word) < std::tie(b.item, b.place, b.word);
  });
  Coverage best;
  for (size_t i = 0; i < matches.size();) {
    const uint32_t item = matches[i].item;
    size_t covered = 0, behind = 0;  // words of the item, up to here
    uint32_t first = matches[i].word, last = matches[i].word;
    for (; i < matches.size() && matches[i].item == item; ++i) {
      const size_t begin = std::max<size_t>(behind, matches[i].place);
      behind = std::max(behind, matches[i].place + n);
      covered += behind - std::min(begin, behind);
      first = std::min(first, matches[i].word);
      last = std::max(last, matches[i].word);
    }
    const double share = static_cast<double>(covered) / num_words_[item];
    if (share > best.share) best = {item, share, first, last + n - first};
  }
  return best;
}

}  // namespace lathe
