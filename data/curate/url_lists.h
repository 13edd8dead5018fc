#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

// Lists that an address is held against, small letters all.
namespace lathe {

struct UrlLists {
  std::unordered_set<std::string> domains;  // example.com: it and what lies below it
  std::vector<std::string> hard_words;      // one is enough
  std::vector<std::string> soft_words;      // two are needed

  bool empty() const { return domains.empty() && hard_words.empty() && soft_words.empty(); }
};

// One entry a line; blank lines and lines that begin with # are left out. Throws
// std::invalid_argument for a file that can not be read.
std::vector<std::string> read_word_list(const std::string& path);

bool is_blocked_domain(const UrlLists& lists, std::string_view url);
// Words of the url (runs of letters and digits) that stand in the list.
int64_t count_listed_words(const std::vector<std::string>& words, std::string_view url);

}  // namespace lathe
