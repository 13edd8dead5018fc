#include "data/curate/special_words.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "data/curate/characters.h"
#include "data/curate/hash_word.h"

namespace lathe {
namespace {

using Parts = std::vector<std::string>;

// Abbreviations that keep their full stop, and other marks that stay one word.
constexpr std::string_view kAbbreviations[] = {
    "'d.",   "a.m.",    "Adm.",   "Bros.", "co.",   "Co.",   "Corp.", "D.C.",  "Dr.",    "e.g.",
    "E.g.",  "E.G.",    "Gen.",   "Gov.",  "i.e.",  "I.e.",  "I.E.",  "Inc.",  "Jr.",    "Ltd.",
    "Md.",   "Messrs.", "Mo.",    "Mont.", "Mr.",   "Mrs.",  "Ms.",   "p.m.",  "Ph.D.",  "Prof.",
    "Rep.",  "Rev.",    "Sen.",   "St.",   "vs.",   "v.s.",  "Jan.",  "Feb.",  "Mar.",   "Apr.",
    "May.",  "Jun.",    "Jul.",   "Aug.",  "Sep.",  "Sept.", "Oct.",  "Nov.",  "Dec.",   "Ala.",
    "Ariz.", "Ark.",    "Calif.", "Colo.", "Conn.", "Del.",  "Fla.",  "Ga.",   "Ia.",    "Id.",
    "Ill.",  "Ind.",    "Kan.",   "Kans.", "Ky.",   "La.",   "Mass.", "Mich.", "Minn.",  "Miss.",
    "N.C.",  "N.D.",    "N.H.",   "N.J.",  "N.M.",  "N.Y.",  "Neb.",  "Nebr.", "Nev.",   "Okla.",
    "Ore.",  "Pa.",     "S.C.",   "Tenn.", "Va.",   "Wash.", "Wis.",  "Mt.",   "and/or", "'s",
    "'S",    "'em",     "ol'",    ":)",    ":(",    ":D",    ":P",    ":p",    ":-)",    ":-(",
    ":-D",   ":-P",     ";)",     ";-)",   ":/",    ":-/",   ":3",    "<3",    "8)",     "8-)",
    "(:",    "(;",      "):",     "(8",    "=)",    "=(",    "XD",    "xD",    ":o",     ":O",
    ":|",    ":'(",     "^_^",    "-_-",   "o_o",   "O_o",   "o.O"};

// Written without an apostrophe these are other words.
constexpr std::string_view kOtherWords[] = {"ill",  "its",  "hell", "shell",
                                            "shed", "were", "well", "whore"};

struct Collector {
  std::vector<std::pair<std::string, std::array<uint8_t, 3>>> found;

  void add(const Parts& parts) {
    std::string whole;
    std::array<uint8_t, 3> cuts{};
    for (size_t i = 0; i < parts.size(); ++i) {
      if (i > 0) cuts[i - 1] = static_cast<uint8_t>(whole.size());
      whole += parts[i];
    }
    found.emplace_back(whole, cuts);
  }

  // As it stands and with a capital.
  void add_cases(Parts parts) {
    add(parts);
    char& first = parts[0][0];
    if (first < 'a' || first > 'z') return;
    first = static_cast<char>(first - 'a' + 'A');
    add(parts);
  }

  // With both apostrophes, and without where that is no other word.
  void add_contraction(const Parts& parts) {
    add_cases(parts);
    Parts curly = parts, bare = parts;
    std::string whole;
    for (size_t i = 0; i < parts.size(); ++i) {
      for (size_t at; (at = curly[i].find('\'')) != std::string::npos;)
        curly[i].replace(at, 1, "\xE2\x80\x99");
      std::erase(bare[i], '\'');
      whole += bare[i];
    }
    add_cases(curly);
    for (const std::string_view other : kOtherWords) {
      if (whole == other) return;
    }
    if (whole == "yall" || bare != parts) add_cases(bare);
  }

  void add_all(std::initializer_list<const char*> stems, const char* ending, bool also_have) {
    for (const char* stem : stems) {
      add_contraction({stem, ending});
      if (also_have) add_contraction({stem, ending, "'ve"});
    }
  }
};

void collect_contractions(Collector& c) {
  c.add_all({"i", "you", "he", "she", "it", "we", "they", "who", "what", "when", "where", "why",
             "how", "there", "that", "this", "these", "those"},
            "'ll", true);
  c.add_all({"i", "you", "he", "she", "it", "we", "they", "who", "what", "when", "where", "why",
             "how", "there", "that", "this", "these", "those"},
            "'d", true);
  c.add_all({"i", "you", "we", "they", "who", "what", "when", "where", "why", "how", "there",
             "these", "those", "could", "might", "must", "should", "would", "not"},
            "'ve", false);
  c.add_all({"you", "we", "they", "who", "what", "when", "where", "why", "how", "there", "these",
             "those"},
            "'re", false);
  c.add_all(
      {"he", "she", "it", "who", "what", "when", "where", "why", "how", "there", "that", "this"},
      "'s", false);
  c.add_all({"ca", "could", "do", "does", "did", "had", "may", "might", "must", "need", "ought",
             "sha", "should", "wo", "would"},
            "n't", true);
  c.add_all({"ai", "are", "is", "was", "were", "have", "has", "dare"}, "n't", false);
  c.add_contraction({"i", "'m"});
  c.add_contraction({"i", "'m", "a"});
  c.add_contraction({"y'", "all"});
  c.add_contraction({"how", "'d", "'y"});
  for (const Parts& parts :
       {Parts{"can", "not"}, Parts{"gon", "na"}, Parts{"got", "ta"}, Parts{"let", "'s"},
        Parts{"let", "\xE2\x80\x99s"}, Parts{"c'm", "on"}, Parts{"c\xE2\x80\x99m", "on"}})
    c.add_cases(parts);
}

}  // namespace

SpecialWords::SpecialWords() : table_(kMask + 1) {
  Collector collector;
  collect_contractions(collector);
  for (int hour = 1; hour <= 12; ++hour) {
    for (const char* half : {"a.m.", "am", "p.m.", "pm"})
      collector.add({std::to_string(hour), half});
  }
  for (const std::string_view word : kAbbreviations) collector.add({std::string(word)});
  for (char c = 'a'; c <= 'z'; ++c) collector.add({std::string{c, '.'}});
  for (auto& [text, cuts] : collector.found) {
    const size_t size = text.size();
    text.append(16, '\0');
    const uint64_t hash = hash_word(text.data(), size);
    if (find(hash)) continue;
    size_t at = hash & kMask;
    while (table_[at].hash != 0) at = (at + 1) & kMask;
    table_[at] = {hash, cuts};
    add(bits_, hash);
    const auto letters =
        static_cast<size_t>(std::find_if(text.begin(), text.end(),
                                         [](char c) { return !(byte_bits(c) & kLetterBit); }) -
                            text.begin());
    if (letters == size && cuts[0] != 0) add(cut_bits_, hash);
    if (letters + 1 == size && text[letters] == '.')
      add(stop_bits_, hash_word(text.data(), letters));
  }
}

const SpecialWords& special_words() {
  static const SpecialWords words;
  return words;
}

}  // namespace lathe
