#include <algorithm>
#include <bit>

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

// Pieces of the text between runs of at least `newlines` newlines. Eight bytes behind the text are
// readable, as hash_line wants.
Repeats find_repeats(const Measured& m, std::string_view text, size_t newlines) {
  Repeats repeats;
  m.work.ngrams.start(m.split.count('\n') + 2);
  const auto add = [&](std::string_view piece) {
    ++repeats.pieces;
    if (m.work.ngrams.add(hash_line(piece), 0).count == 1) return;
    ++repeats.repeated;
    repeats.repeated_chars += static_cast<double>(m.split.chars_of(piece));
  };
  size_t begin = 0;
  for (size_t at = text.find('\n'); at != text.npos;) {
    const size_t behind = std::min(text.find_first_not_of('\n', at), text.size());
    if (behind - at >= newlines) {
      add(text.substr(begin, at - begin));
      begin = behind;
    }
    at = text.find('\n', behind);
  }
  add(text.substr(begin));
  return repeats;
}

// n-grams of a document, by the hashes of their words.
class Grams {
 public:
  explicit Grams(const Measured& m) : words_(m.split.words()), work_(m.work) {}

  // Characters of the most frequent n-gram, all its occurrences together; the first seen among
  // equals. Keeps the places where an n-gram occurs that occurs twice. To be asked for 2, 3, 4.
  double top(size_t n) {
    if (n == 2) find_pairs();
    if (words_.size() < n) {
      num_places_ = 0;
      return 0;
    }
    work_.ngrams.start(num_places_);
    while (num_places_ > 0 && work_.places[num_places_ - 1] + n > words_.size()) --num_places_;
    if (work_.slots.size() < num_places_) work_.slots.resize(num_places_);
    for (size_t k = 0; k < num_places_; ++k) {
      const uint32_t i = work_.places[k];
      work_.slots[k] = work_.ngrams.slot_of(work_.ngrams.add(hash(i, n), i));
    }
    uint32_t best_count = 1, best_first = 0;
    size_t kept = 0;
    for (size_t k = 0; k < num_places_; ++k) {
      const auto& entry = work_.ngrams.at_slot(work_.slots[k]);
      if (entry.count > best_count) {  // of equals the one that was seen first comes first
        best_count = entry.count;
        best_first = entry.first;
      }
      work_.places[kept] = work_.places[k];
      kept += entry.count > 1;
    }
    num_places_ = kept;
    return best_count * (chars(best_first, n) + static_cast<double>(n - 1));
  }

  // Characters in n-grams that stood before; what lies in one is not looked at again.
  double repeated(size_t n) {
    if (num_places_ == 0) return 0;
    double found = 0;
    work_.ngrams.start(num_places_);
    size_t next = 0;
    for (size_t k = 0; k < num_places_; ++k) {
      const uint32_t i = work_.places[k];
      if (i < next || i + n > words_.size()) continue;
      if (work_.ngrams.add(hash(i, n), i).count == 1) continue;
      found += chars(i, n);
      next = i + n;
    }
    return found;
  }

 private:
  static constexpr uint64_t kBase = 0x9E3779B97F4A7C15;

  // Places of pairs that may occur twice: two bitmaps, of what was seen and what was seen again,
  // say no to most places at a fraction of a table's price.
  void find_pairs() {
    num_places_ = 0;
    if (words_.size() < 2) return;
    const size_t count = words_.size() - 1;
    const size_t bits = std::bit_ceil(std::max<size_t>(16 * count, 64));
    const int shift = 64 - std::countr_zero(bits);
    work_.seen.assign(bits / 64, 0);
    work_.seen_again.assign(bits / 64, 0);
    if (work_.pair_slots.size() < count) work_.pair_slots.resize(count);
    if (work_.places.size() < count) work_.places.resize(count);
    const Word* words = words_.data();
    uint64_t *seen = work_.seen.data(), *again = work_.seen_again.data();
    uint32_t *slots = work_.pair_slots.data(), *places = work_.places.data();
    for (size_t i = 0; i < count; ++i) {
      const auto slot = static_cast<uint32_t>((words[i].hash * kBase + words[i + 1].hash) >> shift);
      const uint64_t bit = uint64_t{1} << (slot & 63);
      again[slot / 64] |= seen[slot / 64] & bit;
      seen[slot / 64] |= bit;
      slots[i] = slot;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
      places[kept] = static_cast<uint32_t>(i);
      kept += again[slots[i] / 64] >> (slots[i] & 63) & 1;
    }
    num_places_ = kept;
  }

  uint64_t hash(size_t i, size_t n) const {
    uint64_t sum = 0;
    for (size_t k = i; k < i + n; ++k) sum = sum * kBase + words_[k].hash;
    return sum ^ (sum >> 29);
  }
  double chars(size_t i, size_t n) const {
    uint64_t sum = 0;
    for (size_t k = i; k < i + n; ++k) sum += words_[k].chars;
    return static_cast<double>(sum);
  }

  const std::vector<Word>& words_;
  Workspace& work_;
  size_t num_places_ = 0;
};

void measure(const Measured& m, double* values) {
  const auto chars = static_cast<double>(m.split.chars());
  const Repeats paragraphs = find_repeats(m, strip(m.split.text()), 2);
  values[0] = ratio(paragraphs.repeated, paragraphs.pieces);
  values[1] = ratio(paragraphs.repeated_chars, chars);
  const Repeats lines = find_repeats(m, m.split.text(), 1);
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
