#include "data/curate/unigrams.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <charconv>
#include <cmath>
#include <stdexcept>

#include "data/corpus/lines.h"
#include "data/curate/text_files.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

constexpr double kUnknown = 1e-9;

// Whether a word differs from its small letters, which `small` then holds with room behind it for
// hash_word.
bool lower(std::string_view word, std::string& small) {
  small.clear();
  for (const char *p = word.data(), *end = p + word.size(); p < end;)
    append_utf8(static_cast<uint32_t>(utf8proc_tolower(static_cast<int32_t>(next_code_point(p)))),
                small);
  return small != word;
}

uint64_t hash_of(std::string& small) {
  const size_t size = small.size();
  small.append(16, '\0');
  return hash_word(small.data(), size);
}

bool is_small(std::string_view word) {
  for (const char c : word) {
    if ((c >= 'A' && c <= 'Z') || (c & 0x80)) return false;
  }
  return true;
}

// A word of a text by its small letters; it has a hash already where it is in them.
uint64_t small_hash(const SplitText& text, const Word& word, std::string& small) {
  const std::string_view bytes = text.text_of(word);
  return is_small(bytes) || !lower(bytes, small) ? word.hash : hash_of(small);
}

}  // namespace

Unigrams::Unigrams(const UnigramOptions& options, int threads) {
  if (!options.frequencies.empty() && !options.files.empty())
    throw std::invalid_argument(
        "unigram: frequencies and corpus are both given; leave one of them out");
  if (options.frequencies.empty()) {
    count(options.files, threads);
    finish(options.files.empty() ? "unigram.corpus" : options.files[0]);
  } else {
    read(options.frequencies);
    finish(options.frequencies);
  }
}

void Unigrams::read(const std::string& path) {
  InputFile file(path);
  LineReader lines(file);
  std::string small;
  while (const auto line = lines.next()) {
    if (line->empty()) continue;
    const size_t cut = line->find_last_of(",\t ");
    double number = -1;
    if (cut != line->npos) {
      const char *begin = line->data() + cut + 1, *end = line->data() + line->size();
      const auto [rest, error] = std::from_chars(begin, end, number);
      if (error != std::errc() || rest != end) number = -1;
    }
    if (lines.line() == 1 && number < 0 && cut != line->npos) continue;  // names of the columns
    const std::string_view word = cut == line->npos ? "" : line->substr(0, cut);
    if (!(number >= 0 && number < 1e300) || word.empty() || !is_valid_utf8(word))
      throw std::invalid_argument(
          fmt::format("{}:{}: found `{}`, expected a word and its count: \"the,23135851162\"", path,
                      lines.line(), line->substr(0, 80)));
    lower(word, small);
    counts_[hash_of(small)] += number;
  }
}

void Unigrams::count(const std::vector<std::string>& files, int threads) {
  SplitText split;
  std::string small;
  for_each_text_of(files, threads, [&](std::string_view text) {
    split.split(text);
    for (const Word& word : split.words()) ++counts_[small_hash(split, word, small)];
  });
}

void Unigrams::finish(const std::string& where) {
  double total = 0;
  for (const auto& [unused, count] : counts_) total += count;
  if (!(total > 0))
    throw std::invalid_argument(where + ": holds no word; unigram needs words with their counts");
  for (const auto& [word, count] : counts_) {
    if (count > 0) log_probabilities_[word] = std::log(count / total);
  }
  counts_.clear();
}

double Unigrams::mean_log_probability(const SplitText& text) const {
  static const double kLogUnknown = std::log(kUnknown);
  double sum = 0;
  std::string small;
  for (const Word& word : text.words()) {
    const auto found = log_probabilities_.find(small_hash(text, word, small));
    sum += found == log_probabilities_.end() ? kLogUnknown : found->second;
  }
  return text.words().empty() ? 0 : sum / static_cast<double>(text.words().size());
}

}  // namespace lathe
