#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "data/curate/document.h"

// The lines of a document that C4's rules keep.
namespace lathe {

struct C4Lines {
  int64_t kept = 0, sentences = 0;
  bool lorem_ipsum = false, curly_bracket = false;  // the first of them ends the reading
};

// f is called with every line that is kept, as it is kept (without citations and blanks around it).
C4Lines read_c4_lines(const Measured& measured,
                      const std::function<void(std::string_view)>& f = {});

// Whether a phrase that C4's line rules know may be in a line in small letters: no is certain. Of a
// whole document TextCounts says it.
bool may_hold_phrases(std::string_view small_line);
// Whether a line in small letters has a phrase of privacy policies.
bool holds_policy(std::string_view small_line);

// The document rewritten to them.
std::string c4_text(const Measured& measured);

}  // namespace lathe
