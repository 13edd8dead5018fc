#include <stdexcept>

#include "data/curate/language.h"

namespace lathe {

bool can_guess_languages() { return false; }

LanguageGuess guess_language(std::string_view) {
  throw std::invalid_argument(
      "curate: languages are asked for, but this build has no CLD2; install libcld2-dev and build "
      "again, or leave `languages` out");
}

}  // namespace lathe
