#include "data/curate/pii.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "data/curate/characters.h"

namespace lathe {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter_or_digit(char c) { return byte_bits(c) & (kLetterBit | kDigitBit); }
bool is_name_part(char c) {
  return is_letter_or_digit(c) ||
         std::string_view("!#$%&'*+/=?^_`{|}~-.").find(c) != std::string_view::npos;
}
bool is_word_part(char c) { return is_letter_or_digit(c) || c == '_' || (byte_bits(c) & kHighBit); }

// Whether the eight bytes from i on are there and none of them is a digit.
bool eight_without_digit(std::string_view text, size_t i) {
  if (i + 8 > text.size()) return false;
  constexpr uint64_t kOnes = 0x0101010101010101, kTops = 0x80 * kOnes;
  uint64_t eight;
  std::memcpy(&eight, text.data() + i, 8);
  eight ^= 0x30 * kOnes;  // digits are now 0 to 9
  return ((((eight & ~kTops) + 0x76 * kOnes) | eight) & kTops) == kTops;
}

// name@label.label with a last label of letters.
size_t email_behind(std::string_view text, size_t at, size_t& begin) {
  begin = at;
  while (begin > 0 && is_name_part(text[begin - 1]) && at - begin < 64) --begin;
  while (begin < at && !is_letter_or_digit(text[begin])) ++begin;
  if (begin == at || text[at - 1] == '.') return 0;
  size_t end = at + 1, last_dot = 0;
  while (end < text.size() &&
         (is_letter_or_digit(text[end]) || text[end] == '-' || text[end] == '.')) {
    if (text[end] == '.') {
      if (end == at + 1 || text[end - 1] == '.') break;
      last_dot = end;
    }
    ++end;
  }
  while (end > at + 1 && !is_letter_or_digit(text[end - 1])) --end;
  last_dot = text.substr(0, end).rfind('.');
  if (last_dot == text.npos || last_dot <= at + 1 || end - last_dot < 3) return 0;
  for (size_t i = last_dot + 1; i < end; ++i) {
    if (!(byte_bits(text[i]) & kLetterBit)) return 0;
  }
  return end;
}

struct Octets {
  std::array<int, 4> value{};
  size_t end = 0;  // 0: none
};

Octets read_octets(std::string_view text, size_t i) {
  Octets octets;
  for (size_t k = 0; k < 4; ++k) {
    if (k > 0) {
      if (i >= text.size() || text[i] != '.') return {};
      ++i;
    }
    size_t digits = 0;
    int value = 0;
    while (i < text.size() && is_digit(text[i]) && digits < 4) {
      value = value * 10 + (text[i] - '0');
      ++digits;
      ++i;
    }
    if (digits == 0 || digits > 3 || value > 255) return {};
    octets.value[k] = value;
  }
  octets.end = i;
  return octets;
}

// What the registries give out to the world (IANA's special-purpose blocks left out).
bool is_public(const std::array<int, 4>& v) {
  const int a = v[0], b = v[1], c = v[2];
  if (a == 0 || a == 10 || a == 127 || a >= 224) return false;
  if (a == 100 && b >= 64 && b < 128) return false;
  if (a == 169 && b == 254) return false;
  if (a == 172 && b >= 16 && b < 32) return false;
  if (a == 192 && (b == 168 || (b == 0 && (c == 0 || c == 2)))) return false;
  if (a == 198 && (b == 18 || b == 19 || (b == 51 && c == 100))) return false;
  return !(a == 203 && b == 0 && c == 113);
}

size_t ipv4_behind(std::string_view text, size_t i) {
  const Octets octets = read_octets(text, i);
  if (octets.end == 0 || !is_public(octets.value)) return 0;
  if (octets.end < text.size() && is_word_part(text[octets.end])) return 0;
  // A fifth number makes it a version.
  if (octets.end + 1 < text.size() && text[octets.end] == '.' && is_digit(text[octets.end + 1]))
    return 0;
  return octets.end;
}

// Eight groups of up to four hexadecimal digits, global unicast (2000::/3) or what generators
// write.
size_t ipv6_behind(std::string_view text, size_t i) {
  size_t groups = 0;
  while (groups < 8) {
    size_t digits = 0;
    while (i < text.size() && std::isxdigit(static_cast<unsigned char>(text[i])) && digits < 5) {
      ++digits;
      ++i;
    }
    if (digits == 0 || digits > 4) return 0;
    if (++groups == 8) break;
    if (i >= text.size() || text[i] != ':') return 0;
    ++i;
  }
  return i < text.size() && (is_word_part(text[i]) || text[i] == ':') ? 0 : i;
}

size_t iban_behind(std::string_view text, size_t i) {
  std::string iban;
  for (size_t k = i; k < text.size() && iban.size() < 34; ++k) {
    const char c = text[k];
    if (c == ' ' && (iban.size() % 4 == 0) && !iban.empty() && k + 1 < text.size() &&
        is_letter_or_digit(text[k + 1]))
      continue;
    if (!is_letter_or_digit(c)) break;
    iban.push_back((byte_bits(c) & kLetterBit) ? static_cast<char>(c & ~0x20) : c);
    const bool ends = k + 1 >= text.size() || !is_word_part(text[k + 1]);
    if (ends && iban.size() >= 15 && passes_mod97(iban)) return k + 1;
  }
  return 0;
}

// A run of digits with the marks that people put between them.
struct Run {
  size_t end = 0;
  std::string digits;
  size_t groups = 0, longest_group = 0, shortest_group = 99;
  std::array<size_t, 3> first_groups{};  // their digits
  bool plus = false, brackets = false, dashes = false, blanks = false, dots = false;
};

Run read_run(std::string_view text, size_t i) {
  Run run;
  size_t group = 0, k = i;
  if (text[k] == '+') {
    run.plus = true;
    ++k;
  }
  const auto close_group = [&] {
    if (group == 0) return;
    if (run.groups < 3) run.first_groups[run.groups] = group;
    ++run.groups;
    run.longest_group = std::max(run.longest_group, group);
    run.shortest_group = std::min(run.shortest_group, group);
    group = 0;
  };
  for (; k < text.size() && run.digits.size() < 24; ++k) {
    const char c = text[k];
    if (is_digit(c)) {
      run.digits.push_back(c);
      ++group;
      run.end = k + 1;
      continue;
    }
    const bool separator = c == ' ' || c == '-' || c == '.';
    const bool next_digit = k + 1 < text.size() && (is_digit(text[k + 1]) || text[k + 1] == '(');
    if (c == '(' || c == ')') {
      run.brackets = true;
    } else if (!separator || (!next_digit && run.end != k)) {
      break;
    } else if (!next_digit) {
      break;
    }
    close_group();
    run.dashes |= c == '-';
    run.blanks |= c == ' ';
    run.dots |= c == '.';
  }
  close_group();
  // "x4587": an extension.
  if (run.end + 1 < text.size() && text[run.end] == 'x' && is_digit(text[run.end + 1])) {
    run.end += 2;
    while (run.end < text.size() && is_digit(text[run.end])) ++run.end;
  }
  return run;
}

bool is_card(const Run& run) {
  const size_t n = run.digits.size();
  if (n < 12 || n > 19 || run.plus || run.brackets || run.dots) return false;
  if (run.groups > 5) return false;
  const char first = run.digits[0];
  return first >= '1' && first <= '6' && passes_luhn(run.digits);
}

// 2023-04-07, 07.04.2023, and a time behind it.
bool begins_with_date(const Run& run) {
  if (run.groups < 3 || run.plus || run.brackets || !(run.dashes || run.dots)) return false;
  const auto& g = run.first_groups;
  const bool leads = g[0] == 4 && g[1] == 2 && g[2] == 2 &&
                     (run.digits.starts_with("19") || run.digits.starts_with("20"));
  return leads || (run.groups == 3 && g[0] <= 2 && g[1] <= 2 && (g[2] == 4 || g[2] == 2) &&
                   run.digits.size() < 9);
}

// Two numbers in front of a word are a house and a street, or two that somebody counts.
bool stands_before_word(std::string_view text, size_t end) {
  while (end < text.size() && text[end] == ' ') ++end;
  return end < text.size() && (byte_bits(text[end]) & (kLetterBit | kHighBit));
}

bool is_phone(const Run& run, std::string_view text) {
  const size_t n = run.digits.size();
  const auto& g = run.first_groups;
  if (n < 7 || n > 15 || run.groups > 6) return false;
  if (run.plus) return n >= 8;
  if (run.groups == 1) return n == 10 && run.digits[0] > '1';
  if (run.dots && (run.blanks || run.groups < 3)) return false;
  if (begins_with_date(run) || run.shortest_group < 2 || run.longest_group > 7) return false;
  // 460-89-9847 is a social security number, 90010-170 a postal code.
  if (run.dashes && run.groups == 3 && g[1] == 2) return false;
  if (run.groups > 2 || run.brackets) return true;
  if (run.dashes) return g[0] == 3 && g[1] == 4;
  return run.blanks && !stands_before_word(text, run.end);
}

}  // namespace

const char* pii_name(PiiKind kind) {
  constexpr const char* kNames[] = {"email", "ip", "phone", "iban", "card"};
  return kNames[static_cast<size_t>(kind)];
}

bool passes_luhn(std::string_view digits) {
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    int value = digits[digits.size() - 1 - i] - '0';
    if (value < 0 || value > 9) return false;
    if (i % 2 == 1) value = value > 4 ? 2 * value - 9 : 2 * value;
    sum += value;
  }
  return !digits.empty() && sum % 10 == 0;
}

bool passes_mod97(std::string_view iban) {
  if (iban.size() < 15 || iban.size() > 34) return false;
  int rest = 0;
  for (size_t i = 0; i < iban.size(); ++i) {
    const char c = iban[(i + 4) % iban.size()];
    const bool letter = c >= 'A' && c <= 'Z';
    const bool place_of_letters = (i + 4) % iban.size() < 2;
    const bool place_of_digits = (i + 4) % iban.size() == 2 || (i + 4) % iban.size() == 3;
    if ((!letter && !is_digit(c)) || (place_of_letters && !letter) || (place_of_digits && letter))
      return false;
    rest = letter ? (rest * 100 + (c - 'A' + 10)) % 97 : (rest * 10 + (c - '0')) % 97;
  }
  return rest == 1;
}

std::vector<PiiSpan> find_pii(std::string_view text) {
  std::vector<PiiSpan> spans;
  const auto add = [&](PiiKind kind, size_t begin, size_t end) {
    spans.push_back({kind, begin, end - begin});
  };
  for (const char* p = text.data(); p;) {
    const size_t from = static_cast<size_t>(p - text.data());
    p = from < text.size() ? static_cast<const char*>(std::memchr(p, '@', text.size() - from))
                           : nullptr;
    if (!p) break;
    size_t begin = 0;
    const size_t end = email_behind(text, static_cast<size_t>(p - text.data()), begin);
    if (end > 0) add(PiiKind::kEmail, begin, end);
    ++p;
  }
  const std::vector<PiiSpan> emails = spans;
  size_t email = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (!is_digit(c)) {
      i += eight_without_digit(text, i) ? 8 : 1;
      continue;
    }
    while (email < emails.size() && emails[email].begin + emails[email].size <= i) ++email;
    if (email < emails.size() && emails[email].begin <= i) {
      i = emails[email].begin + emails[email].size;
      continue;
    }
    // An account number begins two letters before its first digit.
    if (i >= 2 && (byte_bits(text[i - 1]) & kLetterBit) && (byte_bits(text[i - 2]) & kLetterBit) &&
        (i == 2 || !is_word_part(text[i - 3]))) {
      if (const size_t end = iban_behind(text, i - 2)) {
        add(PiiKind::kIban, i - 2, end);
        i = end;
        continue;
      }
    }
    size_t group = i;
    while (group > 0 && std::isxdigit(static_cast<unsigned char>(text[group - 1]))) --group;
    if (group == 0 || (!is_word_part(text[group - 1]) && text[group - 1] != ':')) {
      if (const size_t end = ipv6_behind(text, group)) {
        add(PiiKind::kIp, group, end);
        i = end;
        continue;
      }
    }
    size_t begin = i;
    if (begin > 0 && text[begin - 1] == '(') --begin;
    if (begin > 0 && text[begin - 1] == '+') --begin;
    const bool free = begin == 0 || !(is_word_part(text[begin - 1]) || text[begin - 1] == '.' ||
                                      text[begin - 1] == '-' || text[begin - 1] == '/' ||
                                      text[begin - 1] == '$' || text[begin - 1] == ',');
    size_t digits_end = i;
    while (digits_end < text.size() && is_digit(text[digits_end])) ++digits_end;
    if (!free) {
      i = digits_end;
      continue;
    }
    if (const size_t end = ipv4_behind(text, i)) {
      add(PiiKind::kIp, i, end);
      i = end;
      continue;
    }
    const Run run = read_run(text, begin);
    const bool ends =
        run.end >= text.size() || !(is_word_part(text[run.end]) || text[run.end] == '%');
    if (ends && is_card(run)) {
      add(PiiKind::kCard, begin, run.end);
      i = run.end;
    } else if (ends && is_phone(run, text)) {
      add(PiiKind::kPhone, begin, run.end);
      i = run.end;
    } else {
      i = std::max(run.end, digits_end);
    }
  }
  std::sort(spans.begin(), spans.end(),
            [](const PiiSpan& a, const PiiSpan& b) { return a.begin < b.begin; });
  return spans;
}

std::string mask_pii(std::string_view text) {
  constexpr const char* kMasks[] = {"<EMAIL>", "<IP>", "<PHONE>", "<IBAN>", "<CARD>"};
  std::string masked;
  size_t done = 0;
  for (const PiiSpan& span : find_pii(text)) {
    masked += text.substr(done, span.begin - done);
    masked += kMasks[static_cast<size_t>(span.kind)];
    done = span.begin + span.size;
  }
  return masked += text.substr(done);
}

}  // namespace lathe
