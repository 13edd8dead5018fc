#include <algorithm>
#include <array>

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
// readable, as hash_word wants.
Repeats find_repeats(const Measured& m, std::string_view text, size_t newlines) {
  Repeats repeats;
  m.work.ngrams.start(m.split.count('\n') + 2);
  const auto add = [&](std::string_view piece) {
    ++repeats.pieces;
    if (m.work.ngrams.add(hash_word(piece.data(), piece.size()), 0).count == 1) return;
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

// n-grams of a document by the sums of their words' hashes.
class Grams {
 public:
  explicit Grams(const Measured& m) : words_(m.split.words()), work_(m.work) {
    work_.sums.resize(words_.size() + 1);
    work_.sums[0] = 0;
    for (size_t i = 0; i < words_.size(); ++i)
      work_.sums[i + 1] = work_.sums[i] * kBase + words_[i].hash;
    power_[0] = 1;
    for (size_t n = 1; n < power_.size(); ++n) power_[n] = power_[n - 1] * kBase;
    work_.places.resize(words_.size());
    num_places_ = words_.size();
    for (size_t i = 0; i < words_.size(); ++i) work_.places[i] = static_cast<uint32_t>(i);
  }

  // Characters of the most frequent n-gram, all its occurrences together; the first seen among
  // equals. Keeps the places where an n-gram occurs that occurs twice.
  double top(size_t n) {
    if (words_.size() < n) {
      num_places_ = 0;
      return 0;
    }
    work_.ngrams.start(num_places_);
    uint32_t best_count = 1, best_first = 0;
    work_.slots.clear();
    for (size_t k = 0; k < num_places_; ++k) {
      const uint32_t i = work_.places[k];
      if (i + n > words_.size()) {
        num_places_ = k;
        break;
      }
      const auto& entry = work_.ngrams.add(hash(i, n), i);
      work_.slots.push_back(work_.ngrams.slot_of(entry));
      if (entry.count > best_count || (entry.count == best_count && entry.first < best_first)) {
        best_count = entry.count;
        best_first = entry.first;
      }
    }
    size_t kept = 0;
    for (size_t k = 0; k < num_places_; ++k) {
      if (work_.ngrams.at_slot(work_.slots[k]).count > 1) work_.places[kept++] = work_.places[k];
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

  uint64_t hash(size_t i, size_t n) const {
    const uint64_t sum = work_.sums[i + n] - work_.sums[i] * power_[n];
    return sum ^ (sum >> 29);
  }
  double chars(size_t i, size_t n) const {
    uint64_t sum = 0;
    for (size_t k = i; k < i + n; ++k) sum += words_[k].chars;
    return static_cast<double>(sum);
  }

  const std::vector<Word>& words_;
  Workspace& work_;
  std::array<uint64_t, 11> power_;
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
