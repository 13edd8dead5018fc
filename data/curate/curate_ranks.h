#pragma once

#include <functional>

#include "data/curate/curate.h"

namespace lathe {

// Processes that work in one folder, which all of them see. Every rank reads all files and measures
// and writes its blocks of them, rank r the blocks r, r + size, ...; each decides for itself, from
// what all have measured; the first puts the results together.
struct CurateRanks {
  int rank = 0, size = 1;
  // Runs the part and returns when all ranks have; where it fails on one, throws on all.
  std::function<void(const std::function<void()>&)> together = [](const auto& part) { part(); };
};

// As curate(), called by every rank with the same options: the same bytes for any number of them.
CurateResult curate_together(const CurateOptions& options, const std::string& folder,
                             const CurateRanks& ranks, const CurateProgress& progress = {});

}  // namespace lathe
