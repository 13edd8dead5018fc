#include "data/curate/check_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "data/curate/expression.h"
#include "data/curate/filter.h"
#include "data/curate/language.h"

namespace lathe {
namespace {

void check_values(const CurateOptions& options) {
  std::set<std::string> names;
  for (const CurateSource& source : options.sources) {
    if (source.files.empty())
      throw std::invalid_argument("curate: source " + source.name + " has no files");
    if (source.name.empty() || source.name.find('/') != source.name.npos || source.name[0] == '.')
      throw std::invalid_argument("curate: a source's name becomes a folder; found `" +
                                  source.name + "`");
    if (!names.insert(source.name).second)
      throw std::invalid_argument("curate: two sources are called " + source.name +
                                  "; give them names");
  }
  for (const double share :
       {options.repeated_sentences, options.repeated_paragraphs, options.repeated_substrings}) {
    if (!(share >= 0 && share <= 1))
      throw std::invalid_argument(
          fmt::format("curate: repeated_sentences, repeated_paragraphs and repeated_substrings are "
                      "shares; found {}, expected 0 to 1",
                      share));
  }
  if (options.substring_bytes < 1 || options.suffix_array_bytes > int64_t{16} << 30)
    throw std::invalid_argument(
        fmt::format("curate: substring_bytes is {} and suffix_array_bytes {}; expected at least 1, "
                    "and at most 16 GiB",
                    options.substring_bytes, options.suffix_array_bytes));
  if (options.paragraph_ngram < 1)
    throw std::invalid_argument(
        fmt::format("curate: paragraph_ngram is {}, expected at least 1", options.paragraph_ngram));
  std::vector<MixtureSource> planned;
  for (const CurateSource& source : options.sources) {
    MixtureSource& one = planned.emplace_back();
    one.name = source.name;
    one.tier = source.tier;
    one.words = 1;
  }
  plan_mixture(options.mixture, planned);
  if (!options.mixture.order_by.empty()) signal_index(options.mixture.order_by);
  if (options.sources.empty()) throw std::invalid_argument("curate: no sources are given");
  if (options.languages.empty() && !options.language_model.empty())
    throw std::invalid_argument(
        "curate: language_model is given, but `languages` names none that is wanted");
  if (!options.languages.empty() && options.language_model.empty() && !can_guess_languages())
    guess_language("");
  const QualityOptions& quality = options.quality_classifier;
  if (quality.trains() && !quality.model.empty())
    throw std::invalid_argument(
        "curate: quality_classifier.model is given and examples to train one; leave one of them out");
  if (quality.trains() && (quality.positives.empty() || quality.negatives.empty()))
    throw std::invalid_argument(
        "curate: quality_classifier.positives and quality_classifier.negatives are given together or not at all");
}

void check_there(const char* key, const std::string& path) {
  if (!path.empty() && !std::filesystem::is_regular_file(path))
    throw std::invalid_argument(fmt::format("{}: {}: there is no such file", key, path));
}

// Who asks for a signal of the filter; empty: nobody.
std::string asker_of(const CurateOptions& options, const Filter& filter) {
  for (const CurateSource& source : options.sources) {
    if (std::find(source.filters.begin(), source.filters.end(), filter.name) !=
        source.filters.end())
      return "filters";
  }
  for (const Signal& signal : filter.signals) {
    const size_t index = signal_index(signal.name);
    for (const std::string& text : options.drop) {
      if (Expression(text).asks_for(index)) return "drop: " + text;
    }
    if (options.quality == signal.name) return "duplicates.quality";
    if (options.mixture.order_by == signal.name) return "mix.order_by";
  }
  return "";
}

// Without what it is measured with a signal is the same for every document.
void check_measurable(const CurateOptions& options) {
  struct Need {
    const char* filter;
    bool given;
    const char* what;
  };
  const Need needs[] = {
      {"unigram", !options.unigram.empty(), "unigram.frequencies or unigram.corpus"},
      {"quality", !options.quality_classifier.empty(),
       "quality_classifier.positives and quality_classifier.negatives, or quality_classifier.model"},
      {"likelihood", options.likelihood.score != nullptr, "likelihood.model_name_or_path"}};
  for (const Need& need : needs) {
    const std::string asker = need.given ? "" : asker_of(options, filter_named(need.filter));
    if (!asker.empty())
      throw std::invalid_argument(
          fmt::format("curate: {} asks for a signal of {}, which needs {}; give it, or leave the "
                      "signal out",
                      asker, need.filter, need.what));
  }
}

}  // namespace

void check_curate_options(const CurateOptions& options) {
  check_values(options);
  check_there("unigram.frequencies", options.unigram.frequencies);
  check_there("language_model", options.language_model);
  check_there("quality_classifier.model", options.quality_classifier.model);
  check_measurable(options);
}

}  // namespace lathe
