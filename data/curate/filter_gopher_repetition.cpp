#include <algorithm>
#include <bit>
#include <span>

#include "data/curate/filters.h"
#include "data/curate/text_pieces.h"

// Rae et al. 2021 (Gopher), table A1, repetition; all shares are of the text's characters. An
// n-gram can only repeat where its first n-1 words repeat, so that each longer one is looked for
// only where the shorter was found twice.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"dup_paragraphs", "share of paragraphs that stood before"},
    {"dup_paragraph_chars", "their share of the characters"},
    {"dup_lines", "share of lines that stood before"},
    {"dup_line_chars", "their share of the characters"},
    {"top_2_gram", "share of characters of the most frequent 2 words in a row"},
    {"top_3_gram", "of 3 words"},
    {"top_4_gram", "of 4 words"},
    {"dup_5_grams", "share of characters in 5 words in a row that stood before"},
    {"dup_6_grams", "in 6 words"},
    {"dup_7_grams", "in 7 words"},
    {"dup_8_grams", "in 8 words"},
    {"dup_9_grams", "in 9 words"},
    {"dup_10_grams", "in 10 words"}};

constexpr FilterRule kRules[] = {
    {"dup_para_frac", "dup_paragraphs", FilterRule::kAbove, 0.3},
    {"dup_para_char_frac", "dup_paragraph_chars", FilterRule::kAbove, 0.2},
    {"dup_line_frac", "dup_lines", FilterRule::kAbove, 0.3},
    {"dup_line_char_frac", "dup_line_chars", FilterRule::kAbove, 0.2},
    {"top_2_gram", "top_2_gram", FilterRule::kAbove, 0.2},
    {"top_3_gram", "top_3_gram", FilterRule::kAbove, 0.18},
    {"top_4_gram", "top_4_gram", FilterRule::kAbove, 0.16},
    {"duplicated_5_n_grams", "dup_5_grams", FilterRule::kAbove, 0.15},
    {"duplicated_6_n_grams", "dup_6_grams", FilterRule::kAbove, 0.14},
    {"duplicated_7_n_grams", "dup_7_grams", FilterRule::kAbove, 0.13},
    {"duplicated_8_n_grams", "dup_8_grams", FilterRule::kAbove, 0.12},
    {"duplicated_9_n_grams", "dup_9_grams", FilterRule::kAbove, 0.11},
    {"duplicated_10_n_grams", "dup_10_grams", FilterRule::kAbove, 0.1}};

struct Repeats {
  double pieces = 0, repeated = 0, repeated_chars = 0;
};

// Pieces of the text between runs of newlines: lines that are not empty, and what is nothing before
// the first run and behind the last.
Repeats repeated_lines(const SplitText& split) {
  const std::string_view text = split.text();
  const int ends = text.starts_with('\n') + (text.empty() || text.ends_with('\n'));
  Repeats repeats{.pieces = static_cast<double>(ends), .repeated = ends == 2 ? 1.0 : 0.0};
  for (const TextLine& line : split.pieces()) {
    if (line.begin == line.end) continue;
    ++repeats.pieces;
    if (!line.repeated) continue;
    ++repeats.repeated;
    repeats.repeated_chars += line.chars;
  }
  return repeats;
}

// Pieces of the text, without white space around it, between runs of at least two newlines.
Repeats repeated_paragraphs(const Measured& m) {
  const auto is_blank = [](const TextLine& line) { return line.inner_begin == line.inner_end; };
  const auto is_empty = [](const TextLine& line) { return line.begin == line.end; };
  const std::vector<TextLine>& lines = m.split.pieces();
  const auto first = std::find_if_not(lines.begin(), lines.end(), is_blank);
  if (std::none_of(first, lines.end(), is_empty)) return {.pieces = 1};
  const auto end = std::find_if_not(lines.rbegin(), lines.rend(), is_blank).base();
  Repeats repeats;
  m.work.ngrams.start(lines.size());
  for (auto line = first; line != end;) {
    const auto behind = std::find_if(line, end, is_empty);
    const uint32_t from = line == first ? line->inner_begin : line->begin;
    const TextLine& last = *std::prev(behind);
    const uint32_t to = behind == end ? last.inner_end : last.end;
    const std::string_view piece = m.split.text().substr(from, to - from);
    ++repeats.pieces;
    if (m.work.ngrams.add(hash_line(piece), 0).count > 1) {
      ++repeats.repeated;
      repeats.repeated_chars += static_cast<double>(m.split.chars_of(piece));
    }
    line = std::find_if_not(behind, end, is_empty);
  }
  return repeats;
}

// n-grams of a document, by the hashes of their words. Bytes count how often a hash's slot is met:
// no n-gram occurs more often than that, so that the table, whose price is branches that nobody
// could foretell, sees few of them.
class Grams {
 public:
  explicit Grams(const Measured& m) : words_(m.split.words()), work_(m.work) {
    if (work_.places.size() < words_.size()) {
      work_.places.resize(words_.size());
      work_.hashes.resize(words_.size());
    }
  }

  // Characters of the most frequent n-gram, all its occurrences together; the first seen among
  // equals. To be asked for 2, 3, 4.
  double top(size_t n) {
    if (words_.size() < n) {
      num_places_ = 0;
      return 0;
    }
    const uint8_t most = n == 2 ? keep_pairs() : lengthen(n);
    Best best;
    for (uint8_t least = most; least >= 2;) {
      best = best_of(least);
      const auto bound = static_cast<uint8_t>(std::min<uint32_t>(best.count, kMostCounted));
      if (bound >= least || least == 2) break;
      least = std::max<uint8_t>(bound, 2);
    }
    return best.count * (chars(best.first, n) + static_cast<double>(n - 1));
  }

  // Characters in n-grams that stood before; what lies in one is not looked at again. To be asked
  // for 5 and on.
  double repeated(size_t n) {
    if (num_places_ == 0) return 0;
    lengthen(n);
    if (num_places_ == 0) return 0;
    double found = 0;
    work_.ngrams.start(num_places_);
    size_t next = 0;
    for (size_t k = 0; k < num_places_; ++k) {
      const uint32_t i = work_.places[k];
      if (i < next || work_.ngrams.add(mixed(k), i).count == 1) continue;
      found += chars(i, n);
      next = i + n;
    }
    return found;
  }

 private:
  static constexpr uint64_t kBase = 0x9E3779B97F4A7C15;
  static constexpr uint8_t kMostCounted = 255;  // and more
  static constexpr size_t kSlotsPerPlace = 8;

  struct Best {
    uint32_t count = 1, first = 0;
  };

  // Empties the slots for so many places.
  void start(size_t places) {
    num_places_ = places;
    const size_t size = std::bit_ceil(std::max<size_t>(kSlotsPerPlace * places, 64));
    shift_ = 64 - std::countr_zero(size);
    work_.counts.assign(size, 0);
  }

  static void count(uint8_t& times) {
    times = static_cast<uint8_t>(times + (times != kMostCounted));
  }
  uint32_t slot_of(uint64_t hash) const { return static_cast<uint32_t>(hash * kBase >> shift_); }

  // Of pairs, for which every word but the last is a place.
  uint8_t keep_pairs() {
    start(words_.size() - 1);
    uint8_t* counts = work_.counts.data();
    uint64_t *hashes = work_.hashes.data(), before = words_[0].hash;
    for (size_t i = 0; i < num_places_; ++i) {
      const uint64_t behind = words_[i + 1].hash, hash = before * kBase + behind;
      before = behind;
      count(counts[slot_of(hash)]);
      hashes[i] = hash;
    }
    return keep_repeated([](size_t k) { return static_cast<uint32_t>(k); });
  }

  // Hashes become those of n-grams, and their slots are counted.
  uint8_t lengthen(size_t n) {
    while (num_places_ > 0 && work_.places[num_places_ - 1] + n > words_.size()) --num_places_;
    start(num_places_);
    const Word* behind = words_.data() + (n - 1);
    uint8_t* counts = work_.counts.data();
    const uint32_t* places = work_.places.data();
    uint64_t* hashes = work_.hashes.data();
    for (size_t k = 0; k < num_places_; ++k) {
      const uint64_t hash = hashes[k] * kBase + behind[places[k]].hash;
      count(counts[slot_of(hash)]);
      hashes[k] = hash;
    }
    return keep_repeated([places](size_t k) { return places[k]; });
  }

  // Places whose slots were met once say no for all longer n-grams. The largest count is returned.
  template <class PlaceOf>
  uint8_t keep_repeated(const PlaceOf& place_of) {
    const uint8_t* counts = work_.counts.data();
    uint32_t* places = work_.places.data();
    uint64_t* hashes = work_.hashes.data();
    size_t kept = 0;
    uint8_t most = 0;
    for (size_t k = 0; k < num_places_; ++k) {
      const uint64_t hash = hashes[k];
      const uint8_t count = counts[slot_of(hash)];
      places[kept] = place_of(k);
      hashes[kept] = hash;
      kept += count > 1;
      most = std::max(most, count);
    }
    num_places_ = kept;
    return most;
  }

  // The most frequent n-gram of those in slots that were met so often.
  Best best_of(uint8_t least) {
    const uint8_t* counts = work_.counts.data();
    if (work_.chosen.size() < num_places_ + 1) work_.chosen.resize(words_.size() + 1);
    uint32_t* chosen = work_.chosen.data();
    size_t num_chosen = 0;
    for (size_t k = 0; k < num_places_; ++k) {
      chosen[num_chosen] = static_cast<uint32_t>(k);
      num_chosen += counts[slot_of(work_.hashes[k])] >= least;
    }
    work_.ngrams.start(num_chosen);
    for (size_t c = 0; c < num_chosen; ++c)
      work_.ngrams.add(mixed(chosen[c]), work_.places[chosen[c]]);
    Best best;
    for (size_t c = 0; c < num_chosen; ++c) {
      const auto& entry = work_.ngrams.find(mixed(chosen[c]));
      if (entry.count > best.count) best = {entry.count, entry.first};
    }
    return best;
  }

  uint64_t mixed(size_t k) const { return work_.hashes[k] ^ (work_.hashes[k] >> 29); }
  double chars(size_t i, size_t n) const {
    uint64_t sum = 0;
    for (size_t k = i; k < i + n; ++k) sum += words_[k].chars;
    return static_cast<double>(sum);
  }

  const std::span<const Word> words_;
  Workspace& work_;
  size_t num_places_ = 0;
  int shift_ = 0;
};

void measure(const Measured& m, double* values) {
  const auto chars = static_cast<double>(m.split.chars());
  const Repeats paragraphs = repeated_paragraphs(m);
  values[0] = ratio(paragraphs.repeated, paragraphs.pieces);
  values[1] = ratio(paragraphs.repeated_chars, chars);
  const Repeats lines = repeated_lines(m.split);
  values[2] = ratio(lines.repeated, lines.pieces);
  values[3] = ratio(lines.repeated_chars, chars);
  Grams grams(m);
  for (size_t n = 2; n <= 4; ++n) values[n + 2] = ratio(grams.top(n), chars);
  for (size_t n = 5; n <= 10; ++n) values[n + 2] = ratio(grams.repeated(n), chars);
}

}  // namespace

Filter gopher_repetition_filter() {
  return {"gopher_repetition",
          1,
          "repeated lines, paragraphs and word sequences (Gopher)",
          kSignals,
          kRules,
          measure};
}

}  // namespace lathe
