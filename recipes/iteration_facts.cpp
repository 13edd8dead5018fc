#include "recipes/iteration_facts.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "recipes/implicit_reward.h"
#include "trainer/evaluate_text.h"

namespace lathe {
namespace {

double mean(const std::vector<double>& values) {
  return values.empty() ? 0
                        : std::accumulate(values.begin(), values.end(), 0.0) /
                              static_cast<double>(values.size());
}

// At most 20 bins of whole characters over both: bin i holds lengths from low + i width on.
Line length_histogram(const std::vector<double>& chosen, const std::vector<double>& rejected) {
  constexpr int64_t kMostBins = 20;
  std::vector<double> all = chosen;
  all.insert(all.end(), rejected.begin(), rejected.end());
  if (all.empty()) return nullptr;
  const auto [least, most] = std::minmax_element(all.begin(), all.end());
  const auto low = static_cast<int64_t>(*least);
  const int64_t range = static_cast<int64_t>(*most) - low + 1;
  const int64_t width = (range + kMostBins - 1) / kMostBins;
  const auto counts = [&](const std::vector<double>& lengths) {
    std::vector<int64_t> bins(static_cast<size_t>((range + width - 1) / width));
    for (const double length : lengths)
      ++bins[static_cast<size_t>((static_cast<int64_t>(length) - low) / width)];
    return bins;
  };
  return {
      {"low", low}, {"width", width}, {"chosen", counts(chosen)}, {"rejected", counts(rejected)}};
}

}  // namespace

Line describe(const JsonLines& prompts, const JsonLines& answers, const JsonLines& scores,
              const JsonLines& pairs) {
  std::vector<double> all_scores, all_lengths, chosen_lengths, rejected_lengths;
  std::map<std::string, int64_t> histogram;
  int64_t comparisons = 0, consistent = 0, first_wins = 0;
  int64_t stops = 0, failures = 0, unscored = 0, texts = 0, with_pair = 0, ties = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    std::vector<double> own;
    for (const Line& answer : answers[i].at("answers")) {
      ++texts;
      stops += answer.at("finish") == "stop";
      all_lengths.push_back(
          static_cast<double>(num_characters(answer.at("text").get<std::string>())));
    }
    failures += scores[i].at("failures").get<int64_t>();
    comparisons += scores[i].value("comparisons", int64_t{0});
    consistent += scores[i].value("consistent", int64_t{0});
    first_wins += scores[i].value("first_wins", int64_t{0});
    for (const Line& score : scores[i].at("scores")) {
      unscored += score.is_null();
      if (score.is_null()) continue;
      own.push_back(score.get<double>());
      ++histogram[fmt::format("{:.2f}", own.back())];
    }
    ties += !own.empty() &&
            *std::max_element(own.begin(), own.end()) == *std::min_element(own.begin(), own.end());
    all_scores.insert(all_scores.end(), own.begin(), own.end());
  }
  int64_t last = -1;
  for (const Line& pair : pairs) {
    with_pair += pair.at("id").get<int64_t>() != last;
    last = pair.at("id").get<int64_t>();
    const auto length = [&](const char* key) {
      return static_cast<double>(
          num_characters(pair.at(key).at(0).at("content").get<std::string>()));
    };
    chosen_lengths.push_back(length(pair.contains("chosen") ? "chosen" : "completion"));
    if (pair.contains("rejected")) rejected_lengths.push_back(length("rejected"));
  }
  Line samples = Line::array();
  for (size_t i = 0; i < std::min<size_t>(3, prompts.size()); ++i) {
    samples.push_back({{"prompt", prompts[i].at("prompt").back().at("content")},
                       {"answer", answers[i].at("answers").at(0).at("text")},
                       {"score", scores[i].at("scores").at(0)}});
  }
  const auto share = [](int64_t part, size_t of) {
    return of == 0 ? 0 : static_cast<double>(part) / static_cast<double>(of);
  };
  Line facts{{"prompts", prompts.size()},
             {"answers", texts},
             {"pairs", pairs.size()},
             {"prompts_with_pair", with_pair},
             {"tie_share", share(ties, prompts.size())},
             {"mean_score", mean(all_scores)},
             {"score_histogram", histogram},
             {"unscored", unscored},
             {"parse_failures", failures},
             {"eos_rate", share(stops, static_cast<size_t>(texts))},
             {"mean_length", mean(all_lengths)},
             {"mean_length_chosen", mean(chosen_lengths)},
             {"mean_length_rejected", mean(rejected_lengths)},
             {"length_histogram", length_histogram(chosen_lengths, rejected_lengths)},
             {"samples", samples}};
  if (const auto consistency = mean_consistency(scores)) facts["consistency"] = *consistency;
  if (comparisons > 0) {
    facts["comparisons"] = comparisons;
    facts["order_consistency"] = share(consistent, static_cast<size_t>(comparisons));
    facts["first_position_wins"] = share(first_wins, static_cast<size_t>(2 * comparisons));
  }
  return facts;
}

}  // namespace lathe
