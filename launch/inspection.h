#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/loader/packing.h"
#include "data/shards/dataset.h"
#include "data/tokenize/tokenizer.h"

// What there is to see in a data set: examples with their mask, lengths, what was dropped, packing.
namespace lathe {

struct ShownToken {
  std::string text;
  int64_t id = 0;
  bool trained = false;
};

struct ShownExample {
  int64_t document = 0, tokens = 0, targets = 0;
  std::vector<ShownToken> shown;  // the first of them
};

struct LengthBin {
  int64_t low = 0, high = 0, documents = 0;  // low to high tokens, both included
};

struct PackingView {
  std::string name;
  bool chosen = false;
  int64_t rows = 0;
  double waste = 0;  // share of the rows that no token fills
};

struct Inspection {
  std::string name, shape_reason;
  std::vector<std::pair<std::string, int64_t>> counts;  // of prepare: read, kept, cut, ...
  std::vector<std::string> first_dropped;
  int64_t documents = 0, tokens = 0, targets = 0, duplicates = 0, max_length = 0;
  int64_t shortest = 0, median = 0, longest = 0;
  std::vector<LengthBin> lengths;
  std::vector<PackingView> packing;
  std::vector<ShownExample> examples;
};

struct InspectOptions {
  int64_t examples = 2, tokens = 400;  // how many to show, and of each at most so many tokens
  int64_t max_length = 1024;           // of a row
  Packing packing = Packing::kBestFit;
};

// Reads every token once. tokenizer: null where there is none; ids are shown instead.
Inspection inspect_dataset(const std::string& name, const Dataset& dataset,
                           const Tokenizer* tokenizer, const InspectOptions& options);

// For a terminal: trained tokens green (or, without colours, between « and »), tokens apart by
// shade.
std::string inspection_text(const Inspection& inspection, bool colours);

// One page that needs nothing else.
std::string inspection_html(const std::vector<Inspection>& inspections);

}  // namespace lathe
