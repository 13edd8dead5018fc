#pragma once

#include <string>
#include <string_view>

#include "trainer/config.h"

// The keys and values of other fine-tuning programs, in ours. A plain table: the reader of configs
// announces what it translates, and refuses by name what has no equivalent.
namespace lathe {

struct Alias {
  enum class Kind {
    kRename,   // `to` gets the value as it is, or to_value if that is set
    kShare,    // `to` gets the value, which must be below 1
    kSection,  // the section `to` counts as given
    kDrop,     // nothing is lost by leaving it out; `why` says so
    kRefuse,   // what it asks for cannot be done; `why` says what to do instead
  };
  Kind kind;
  std::string_view from;      // as the user writes it; "data.train[].type" inside of a list
  std::string_view value;     // only if it has this value; "": any. true and false in any spelling
  std::string_view to;        // our key; a leaf without its section where it is unique
  std::string_view to_value;  // "": the value as it is
  std::string_view whose;     // whose word it is
  std::string_view why;
};

// The first row for this key and value; null if there is none.
const Alias* find_alias(const std::string& key, const std::string& value);
// Is there a row for a key below this one ("tokenizer." for "tokenizer")?
bool has_alias_below(const std::string& key);
// "run.yaml:3: padding_free is dropped: rows are never padded".
std::string drop_note(const Alias& alias, const std::string& line);

// Another program's word for a value of ours ("adamw_torch"); "" if there is none.
std::string_view find_value_alias(const std::string& name, const std::string& value);

}  // namespace lathe
