#include "recipes/scorers.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <tuple>

#include "recipes/confined_command.h"
#include "trainer/evaluate_text.h"

namespace lathe {
namespace {

constexpr const char* kNumber = R"([-+]?[0-9][0-9,]*(\.[0-9]+)?)";

std::optional<double> number_of(const std::string& text) {
  if (text.empty()) return {};
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size() || !std::isfinite(value)) return {};
  return value;
}

// The last number of a text; the pattern's own group is its fraction, so all of
// it is put in one.
std::optional<double> last_number(const std::string& text) {
  return number_of(
      extract_answer(text, {.pattern = std::string("(") + kNumber + ")", .remove = {","}}));
}

std::string trimmed(const std::string& text) { return extract_answer(text, {}); }

}  // namespace

std::optional<double> verify(const std::string& answer, const std::string& expected,
                             const SelfRewardConfig& config) {
  if (config.verifier == "exact") return trimmed(answer) == trimmed(expected) ? 1 : 0;
  if (config.verifier == "numeric") {
    const auto right = last_number(expected), found = last_number(answer);
    if (!right) return {};
    return found && *found == *right ? 1 : 0;
  }
  const AnswerRule rule{.pattern = config.answer_pattern};
  const std::string right = extract_answer(expected, rule);
  if (right.empty()) return {};
  return extract_answer(answer, rule) == right ? 1 : 0;
}

std::optional<double> points_of(const std::string& judgment, const SelfRewardConfig& config) {
  const auto points = number_of(extract_answer(judgment, {.pattern = config.judge_pattern}));
  if (!points || *points < config.judge_min || *points > config.judge_max) return {};
  return points;
}

std::optional<bool> winner_of(const std::string& judgment, const SelfRewardConfig& config) {
  const std::string name = extract_answer(judgment, {.pattern = config.judge_pattern});
  if (name == "A" || name == "a") return true;
  if (name == "B" || name == "b") return false;
  return {};
}

Standing standing_of(const std::vector<Comparison>& comparisons, int64_t answers) {
  std::vector<double> wins(static_cast<size_t>(answers)), shown(static_cast<size_t>(answers));
  // Both orders of a pair, by the smaller place first.
  std::map<std::tuple<int64_t, int64_t, int64_t>, std::vector<Comparison>> pairs;
  for (const Comparison& each : comparisons) {
    if (!each.first_wins) continue;
    ++shown.at(static_cast<size_t>(each.a));
    ++shown.at(static_cast<size_t>(each.b));
    ++wins.at(static_cast<size_t>(*each.first_wins ? each.a : each.b));
    pairs[{std::min(each.a, each.b), std::max(each.a, each.b), each.sample}].push_back(each);
  }
  Standing standing;
  for (size_t i = 0; i < wins.size(); ++i)
    standing.scores.push_back(shown[i] > 0 ? std::optional(wins[i] / shown[i]) : std::nullopt);
  for (const auto& [pair, both] : pairs) {
    if (both.size() != 2) continue;
    ++standing.both_read;
    standing.consistent += *both[0].first_wins != *both[1].first_wins;
    standing.first_wins += *both[0].first_wins + *both[1].first_wins;
  }
  return standing;
}

double verify_by_command(const std::string& prompt, const std::string& answer,
                         const std::string& expected, const SelfRewardConfig& config) {
  namespace fs = std::filesystem;
  std::string folder = (fs::temp_directory_path() / "lathe-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr)
    throw std::runtime_error("can not make a folder in " + fs::temp_directory_path().string());
  struct Remove {
    const std::string& folder;
    ~Remove() {
      std::error_code ignored;  // what can not be removed changes no result
      fs::remove_all(folder, ignored);
    }
  } const remove{folder};
  for (const auto& [name, text] : {std::pair{"prompt", &prompt}, std::pair{"response", &answer},
                                   std::pair{"expected", &expected}}) {
    std::ofstream out(folder + "/" + name, std::ios::binary);
    if (!(out << *text).flush()) throw std::runtime_error("can not write " + folder + "/" + name);
  }
  return run_confined(config.verifier_command, folder,
                      {config.verifier_seconds, config.verifier_mebibytes})
             ? 1
             : 0;
}

std::optional<double> aggregate(const std::vector<std::optional<double>>& points,
                                const SelfRewardConfig& config) {
  std::vector<double> valid;
  for (const auto& each : points) {
    if (each) valid.push_back(*each);
  }
  if (std::ssize(valid) < config.judge_min_valid) return {};
  const auto n = valid.size();
  if (config.judge_aggregate == "mean")
    return std::accumulate(valid.begin(), valid.end(), 0.0) / static_cast<double>(n);
  std::sort(valid.begin(), valid.end());
  return (valid[(n - 1) / 2] + valid[n / 2]) / 2;
}

}  // namespace lathe
