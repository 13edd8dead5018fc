#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "data/curate/document.h"

// A filter measures signals of a document and brings the rules that its authors set. Measuring is
// the dear part and done once; rules decide in a cheap pass over the stored signals.
namespace lathe {

struct Signal {
  const char* name;  // a word that expression rules may use; one of all filters'
  const char* meaning;
};

// Drops a document whose signal lies beyond the threshold.
struct FilterRule {
  const char* name;  // the reason code
  const char* signal;
  enum Side { kBelow, kAbove, kAtLeast } side;
  double threshold;
};

struct Filter {
  const char* name;
  int version;  // raised when a signal means something else
  const char* sentence;
  std::span<const Signal> signals;
  std::span<const FilterRule> rules;  // in the order in which they are asked
  // Writes one value per signal.
  void (*measure)(const Measured& measured, double* values);
};

// All filters. Signals of all of them stand one after another, in this order.
std::span<const Filter> filter_table();

// Throws std::invalid_argument for a name that is none, with the nearest.
const Filter& filter_named(std::string_view name);
size_t num_signals();
// Where a signal stands among all; throws std::invalid_argument for a name that is none.
size_t signal_index(std::string_view name);
const Signal& signal_at(size_t index);
// Where the signals of a filter begin.
size_t first_signal(const Filter& filter);

// Fills values, one per signal of all filters.
void measure_all(const Measured& measured, double* values);

}  // namespace lathe
