#pragma once

#include <string>

#include "data/curate/curate.h"

namespace lathe {

// What decides the signals, and what decides the output: hashes of files and options.
struct CurateKeys {
  std::string signals, output, quality;  // quality: of the classifier that is trained
};

CurateKeys make_keys(const CurateOptions& options, const std::string& tokenizer_hash);

}  // namespace lathe
