#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "data/curate/characters.h"
#include "data/curate/filters.h"
#include "data/curate/url_lists.h"

namespace lathe {
namespace {

constexpr Signal kSignals[] = {{"url_blocked", "1: the address lies under a listed domain"},
                               {"url_hard_words", "listed hard words in the address"},
                               {"url_soft_words", "listed soft words in the address"}};

constexpr FilterRule kRules[] = {{"url_domain", "url_blocked", FilterRule::kAbove, 0},
                                 {"url_hard_word", "url_hard_words", FilterRule::kAbove, 0},
                                 {"url_soft_words", "url_soft_words", FilterRule::kAbove, 1}};

std::string lower(std::string_view text) {
  std::string small(text);
  for (char& c : small) {
    if (byte_bits(c) & kUpperBit) c = static_cast<char>(c | 0x20);
  }
  return small;
}

std::string host_of(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme != url.npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  const size_t user = url.rfind('@');
  if (user != url.npos) url.remove_prefix(user + 1);
  return lower(url.substr(0, url.find(':')));
}

void measure(const Measured& m, double* values) {
  const UrlLists& lists = m.resources.urls;
  const std::string& url = m.document.url;
  values[0] = values[1] = values[2] = 0;
  if (url.empty() || lists.empty()) return;
  values[0] = is_blocked_domain(lists, url);
  values[1] = static_cast<double>(count_listed_words(lists.hard_words, url));
  values[2] = static_cast<double>(count_listed_words(lists.soft_words, url));
}

}  // namespace

std::vector<std::string> read_word_list(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    throw std::invalid_argument(path + ": can not be read, expected a list with one entry a line");
  std::vector<std::string> words;
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (byte_bits(line.back()) & kSpaceBit)) line.pop_back();
    if (!line.empty() && line[0] != '#') words.push_back(lower(line));
  }
  return words;
}

bool is_blocked_domain(const UrlLists& lists, std::string_view url) {
  for (std::string host = host_of(url); !host.empty();) {
    if (lists.domains.contains(host)) return true;
    const size_t dot = host.find('.');
    if (dot == host.npos) return false;
    host.erase(0, dot + 1);
  }
  return false;
}

int64_t count_listed_words(const std::vector<std::string>& words, std::string_view url) {
  int64_t count = 0;
  const std::string text = lower(url);
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    while (i < text.size() && (byte_bits(text[i]) & (kLetterBit | kDigitBit | kHighBit))) ++i;
    const std::string_view word(text.data() + begin, i - begin);
    if (!word.empty()) count += std::find(words.begin(), words.end(), word) != words.end();
    if (i == begin) ++i;
  }
  return count;
}

Filter url_filter() {
  return {"url", 1, "addresses against lists of domains and words", kSignals, kRules, measure};
}

}  // namespace lathe
