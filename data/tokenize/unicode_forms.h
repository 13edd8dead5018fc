#pragma once

#include "data/tokenize/normalized_text.h"

// Unicode's normalization forms and case, piece by piece so that each change keeps its place.
namespace lathe {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// Whether the form leaves the text as it is.
bool is_nfc(std::string_view text);

NormalizedText to_form(NormalizedText text, UnicodeForm form);
NormalizedText to_lower_case(NormalizedText text);
NormalizedText without_marks(NormalizedText text);  // drops \p{M}

}  // namespace lathe
