#pragma once

#include <string>
#include <string_view>

namespace lathe {

struct LanguageGuess {
  std::string code = "un";  // ISO 639-1, "un": unknown
  double score = 0;         // share of the text's bytes that are of it, 0 to 1
};

// By CLD2. In a build without it: std::invalid_argument that says what to install.
LanguageGuess guess_language(std::string_view text);
bool can_guess_languages();

}  // namespace lathe
