#include "data/curate/filter.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <string>

#include "data/curate/filters.h"

namespace lathe {
namespace {

std::string names_of_filters() {
  std::string names;
  for (const Filter& filter : filter_table())
    names += fmt::format("{}{}", names.empty() ? "" : ", ", filter.name);
  return names;
}

std::string names_of_signals() {
  std::string names;
  for (size_t i = 0; i < num_signals(); ++i)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", signal_at(i).name);
  return names;
}

}  // namespace

std::span<const Filter> filter_table() {
  static const std::array table{url_filter(),
                                gopher_repetition_filter(),
                                gopher_quality_filter(),
                                c4_filter(),
                                c4_paragraph_filter(),
                                fineweb_filter(),
                                english_filter(),
                                dclm_filter(),
                                language_filter(),
                                unigram_filter(),
                                quality_filter(),
                                likelihood_filter(),
                                contamination_filter(),
                                pii_filter(),
                                chat_filter()};
  return table;
}

const Filter& filter_named(std::string_view name) {
  for (const Filter& filter : filter_table()) {
    if (name == filter.name) return filter;
  }
  throw std::invalid_argument(
      fmt::format("curate: `{}` is no filter; expected one of {}", name, names_of_filters()));
}

size_t num_signals() {
  size_t count = 0;
  for (const Filter& filter : filter_table()) count += filter.signals.size();
  return count;
}

const Signal& signal_at(size_t index) {
  for (const Filter& filter : filter_table()) {
    if (index < filter.signals.size()) return filter.signals[index];
    index -= filter.signals.size();
  }
  throw std::logic_error("curate: a signal that is none");
}

size_t signal_index(std::string_view name) {
  size_t index = 0;
  for (const Filter& filter : filter_table()) {
    for (const Signal& signal : filter.signals) {
      if (name == signal.name) return index;
      ++index;
    }
  }
  throw std::invalid_argument(
      fmt::format("curate: `{}` is no signal; expected one of {}", name, names_of_signals()));
}

size_t first_signal(const Filter& filter) {
  size_t index = 0;
  for (const Filter& other : filter_table()) {
    if (std::string_view(other.name) == filter.name) return index;
    index += other.signals.size();
  }
  throw std::logic_error("curate: a filter that is not in the table");
}

void measure_all(const Measured& measured, double* values) {
  for (const Filter& filter : filter_table()) {
    filter.measure(measured, values);
    values += filter.signals.size();
  }
}

}  // namespace lathe
