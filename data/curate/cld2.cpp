#include <cstdio>

#include <cld2/public/compact_lang_det.h>

#include "data/curate/language.h"

namespace lathe {

bool can_guess_languages() { return true; }

LanguageGuess guess_language(std::string_view text) {
  CLD2::Language languages[3];
  int percents[3], text_bytes = 0;
  bool reliable = false;
  CLD2::DetectLanguageSummary(text.data(), static_cast<int>(text.size()), /*is_plain_text=*/true,
                              languages, percents, &text_bytes, &reliable);
  if (languages[0] == CLD2::UNKNOWN_LANGUAGE) return {};
  return {CLD2::LanguageCode(languages[0]), percents[0] / 100.0};
}

}  // namespace lathe
