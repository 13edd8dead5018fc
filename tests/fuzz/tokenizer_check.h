#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "data/tokenize/tokenizer.h"

// What must hold of any tokenizer file and any text: it is refused with an exception of the two kinds, or the quick
// path gives the plain path's ids and pieces decode to the whole.
namespace lathe {

inline void check_tokenizer(const std::string& path, const std::string& text) {
  try {
    const Tokenizer tokenizer(path);
    const Encoding fast = tokenizer.encode_with_offsets(text, true);
    if (fast.ids != tokenizer.encode_plainly(text, true).ids) std::abort();
    StreamDecoder stream(tokenizer, false);
    std::string pieces;
    for (const int32_t id : fast.ids) pieces += stream.push(id);
    if (pieces + stream.finish() != tokenizer.decode(fast.ids, false)) std::abort();
  } catch (const std::invalid_argument&) {
  } catch (const std::runtime_error&) {
  }
}

}  // namespace lathe
