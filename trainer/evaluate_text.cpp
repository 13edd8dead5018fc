#include "trainer/evaluate_text.h"

#include <algorithm>
#include <charconv>
#include <regex>
#include <stdexcept>

namespace lathe {
namespace {

std::regex compiled(const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    throw std::invalid_argument("the pattern `" + pattern + "` can not be read: " + error.what());
  }
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

std::string matched(const std::string& text, const AnswerRule& rule) {
  if (rule.pattern.empty()) return text;
  const std::regex pattern = compiled(rule.pattern);
  std::string found;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
    found = match->size() > 1 ? (*match)[1].str() : match->str();
    if (!rule.last) break;
  }
  return found;
}

void lower(std::string& text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
}

std::vector<std::string> words_of(std::string text) {
  lower(text);
  std::vector<std::string> words;
  bool inside = false;
  for (const char c : text) {
    const bool counts = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (counts && !inside) words.emplace_back();
    if (counts) words.back() += c;
    inside = counts;
  }
  return words;
}

int64_t common_length(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<int64_t> before(b.size() + 1), now(b.size() + 1);
  for (const std::string& word : a) {
    for (size_t j = 0; j < b.size(); ++j) {
      now[j + 1] = word == b[j] ? before[j] + 1 : std::max(before[j + 1], now[j]);
    }
    std::swap(before, now);
  }
  return before.back();
}

}  // namespace

const Json& field_at(const Json& record, std::string_view path) {
  const Json* at = &record;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string name(path.substr(begin, end - begin));
    size_t index = 0;
    const bool number = std::from_chars(name.data(), name.data() + name.size(), index).ptr ==
                            name.data() + name.size() &&
                        !name.empty();
    if (at->is_object() && at->contains(name)) {
      at = &(*at)[name];
    } else if (at->is_array() && number && index < at->size()) {
      at = &(*at)[index];
    } else {
      throw std::invalid_argument("the record has no field `" + std::string(path) + "`");
    }
    begin = end + 1;
  }
  return *at;
}

std::string fill_in(const std::string& text, const Json& record) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      out += c;
      ++i;
    } else if (c == '{') {
      const size_t end = text.find('}', i);
      if (end == std::string::npos) throw std::invalid_argument("`" + text + "` has { without }");
      const Json& value = field_at(record, std::string_view(text).substr(i + 1, end - i - 1));
      if (value.is_structured() || value.is_null()) {
        throw std::invalid_argument("the field `" + text.substr(i + 1, end - i - 1) + "` is " +
                                    shown(value) + "; a text or a number is expected");
      }
      out += value.is_string() ? value.get<std::string>() : value.dump();
      i = end;
    } else if (c == '}') {
      throw std::invalid_argument("`" + text + "` has } without {");
    } else {
      out += c;
    }
  }
  return out;
}

std::string extract_answer(const std::string& text, const AnswerRule& rule) {
  std::string answer = matched(text, rule);
  for (const std::string& pattern : rule.remove) {
    answer = std::regex_replace(answer, compiled(pattern), "");
  }
  if (rule.ignore_case) lower(answer);
  return trimmed(answer);
}

double rouge_l(const std::string& candidate, const std::string& reference) {
  const std::vector<std::string> got = words_of(candidate), wanted = words_of(reference);
  if (got.empty() || wanted.empty()) return 0;
  const auto common = static_cast<double>(common_length(got, wanted));
  return 2 * common / static_cast<double>(got.size() + wanted.size());
}

int64_t num_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace lathe
