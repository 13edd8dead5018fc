#include "data/curate/occupations.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <stdexcept>
#include <string_view>

namespace lathe {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_female(std::string_view word) {
  return is_one_of(word, {"she", "her", "hers", "herself", "woman", "women", "girl", "girls",
                          "female", "mother", "daughter", "sister", "wife", "lady", "ladies"});
}

bool is_male(std::string_view word) {
  return is_one_of(word, {"he", "him", "his", "himself", "man", "men", "boy", "boys", "male",
                          "father", "son", "brother", "husband", "gentleman", "gentlemen"});
}

std::string small(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

std::vector<std::string> cells_of(std::string line) {
  if (line.ends_with('\r')) line.pop_back();
  std::vector<std::string> cells;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find('\t', begin), line.size());
    cells.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return cells;
}

}  // namespace

Occupations::Occupations(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::invalid_argument(path + ": there is no such file; expected occupations");
  int64_t number = 0;
  const auto refuse = [&](const std::string& what) {
    return std::invalid_argument(fmt::format("{}:{}: {}", path, number, what));
  };
  size_t name = SIZE_MAX, percent = SIZE_MAX;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const std::vector<std::string> cells = cells_of(line);
    if (number == 1) {
      for (size_t c = 0; c < cells.size(); ++c) {
        if (cells[c] == "occupation") name = c;
        if (cells[c].ends_with("pct_female")) percent = c;
      }
      if (name == SIZE_MAX || percent == SIZE_MAX)
        throw refuse("expected the columns occupation and ..pct_female, tabs between");
      continue;
    }
    if (line.empty() || line == "\r") continue;
    double value = -1;
    if (cells.size() > std::max(name, percent)) {
      const std::string& text = cells[percent];
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc() || end != text.data() + text.size()) value = -1;
    }
    if (!(value >= 0 && value <= 100) || cells[name].empty())
      throw refuse("expected an occupation and a percentage between 0 and 100");
    const std::string word = small(cells[name]);
    if (!numbers_.emplace(word, static_cast<uint32_t>(names_.size())).second)
      throw refuse(fmt::format("{} stands here twice", word));
    numbers_.emplace(word + "s", static_cast<uint32_t>(names_.size()));
    names_.push_back(word);
    percent_female_.push_back(value);
  }
  if (names_.empty()) throw std::invalid_argument(path + ": holds no occupation");
}

uint64_t Occupations::pack(const Count& count) {
  return uint64_t{count.occupation} << 32 | uint64_t{count.female} << 16 | count.male;
}

Occupations::Count Occupations::unpack(uint64_t packed) {
  return {static_cast<uint32_t>(packed >> 32), static_cast<uint16_t>(packed >> 16),
          static_cast<uint16_t>(packed)};
}

void Occupations::count(const SplitText& text, std::vector<uint64_t>& counts) const {
  std::map<uint32_t, Count> found;
  std::vector<uint32_t> named;
  bool female = false, male = false;
  const auto add = [](uint16_t& value, bool more) { value += more && value < UINT16_MAX; };
  const auto end_sentence = [&] {
    std::sort(named.begin(), named.end());
    named.erase(std::unique(named.begin(), named.end()), named.end());
    for (const uint32_t occupation : named) {
      if (!female && !male) continue;
      Count& count = found[occupation];
      count.occupation = occupation;
      add(count.female, female);
      add(count.male, male);
    }
    named.clear();
    female = male = false;
  };
  for (const TextLine& line : text.lines()) {
    for (uint32_t w = line.first_word; w < line.end_word; ++w) {
      const Word& word = text.words()[w];
      const std::string plain = small(text.text_of(word));
      female |= is_female(plain);
      male |= is_male(plain);
      if (const auto at = numbers_.find(plain); at != numbers_.end()) named.push_back(at->second);
      if (word.bits & kSentenceEnd) end_sentence();
    }
    end_sentence();
  }
  for (const auto& [unused, count] : found) counts.push_back(pack(count));
}

double OccupationCount::found_percent() const {
  return female + male == 0
             ? kNone
             : 100.0 * static_cast<double>(female) / static_cast<double>(female + male);
}

double correlation(const std::vector<OccupationCount>& counts, int64_t least) {
  double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
  for (const OccupationCount& count : counts) {
    if (count.female + count.male < std::max<int64_t>(least, 1)) continue;
    const double a = count.found_percent(), b = count.percent_female;
    ++n, x += a, y += b, xx += a * a, yy += b * b, xy += a * b;
  }
  const double of_x = n * xx - x * x, of_y = n * yy - y * y;
  return n < 3 || of_x <= 0 || of_y <= 0 ? kNone : (n * xy - x * y) / std::sqrt(of_x * of_y);
}

}  // namespace lathe
