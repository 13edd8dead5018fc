#include "recipes/scorers.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "trainer/evaluate_text.h"

namespace lathe {
namespace {

constexpr const char *kNumber = R"([-+]?[0-9][0-9,]*(\.[0-9]+)?)";

std::optional<double> number_of(const std::string &text) {
  if (text.empty())
    return {};
  char *end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size() || !std::isfinite(value))
    return {};
  return value;
}

// The last number of a text; the pattern's own group is its fraction, so all of
// it is put in one.
std::optional<double> last_number(const std::string &text) {
  return number_of(extract_answer(
      text, {.pattern = std::string("(") + kNumber + ")", .remove = {","}}));
}

std::string trimmed(const std::string &text) {
  return extract_answer(text, {});
}

} // namespace

std::optional<double> verify(const std::string &answer,
                             const std::string &expected,
                             const SelfRewardConfig &config) {
  if (config.verifier == "exact")
    return trimmed(answer) == trimmed(expected) ? 1 : 0;
  if (config.verifier == "numeric") {
    const auto right = last_number(expected), found = last_number(answer);
    if (!right)
      return {};
    return found && *found == *right ? 1 : 0;
  }
  const AnswerRule rule{.pattern = config.answer_pattern};
  const std::string right = extract_answer(expected, rule);
  if (right.empty())
    return {};
  return extract_answer(answer, rule) == right ? 1 : 0;
}

std::optional<double> points_of(const std::string &judgment,
                                const SelfRewardConfig &config) {
  const auto points =
      number_of(extract_answer(judgment, {.pattern = config.judge_pattern}));
  if (!points || *points < config.judge_min || *points > config.judge_max)
    return {};
  return points;
}

std::optional<double>
aggregate(const std::vector<std::optional<double>> &points,
          const SelfRewardConfig &config) {
  std::vector<double> valid;
  for (const auto &each : points) {
    if (each)
      valid.push_back(*each);
  }
  if (std::ssize(valid) < config.judge_min_valid)
    return {};
  const auto n = valid.size();
  if (config.judge_aggregate == "mean")
    return std::accumulate(valid.begin(), valid.end(), 0.0) /
           static_cast<double>(n);
  std::sort(valid.begin(), valid.end());
  return (valid[(n - 1) / 2] + valid[n / 2]) / 2;
}

} // namespace lathe
