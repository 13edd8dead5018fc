#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "trainer/json_fields.h"

// The texts of an evaluation: made out of records, and judged.
namespace lathe {

// `path` is "name" or "name.inner"; a number picks from a list. std::invalid_argument when there is
// no such field.
const Json& field_at(const Json& record, std::string_view path);

// "Question: {question}" with the record's fields put in; {{ and }} are braces.
std::string fill_in(const std::string& text, const Json& record);

// Which part of a text is the answer.
struct AnswerRule {
  std::string pattern =
      {};            // ECMAScript; its first group if it has one, else all of it. "": the text
  bool last = true;  // of several matches the last one, else the first
  std::vector<std::string> remove = {};  // patterns of what does not count: "[,$]"
  bool ignore_case = false;
};

// Without white space around; "" when nothing matches. std::invalid_argument for a broken pattern.
std::string extract_answer(const std::string& text, const AnswerRule& rule);

// F-measure of the longest common subsequence of words (Lin 2004), as the `rouge_score` package has
// it without stemming: words are runs of a-z and 0-9 in lower case. 0 when either has none.
double rouge_l(const std::string& candidate, const std::string& reference);

// Code points of UTF-8.
int64_t num_characters(std::string_view text);

}  // namespace lathe
