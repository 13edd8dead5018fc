#include "recipes/new_prompts.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>

#include "data/loader/order.h"
#include "trainer/evaluate_text.h"

namespace lathe {
namespace {

constexpr const char *kQuestion =
    "These are tasks that people gave to an assistant.\n\n{demonstrations}\n"
    "Write one more task. It must differ from all of these, and a text must be "
    "able to answer it. "
    "Say the task alone, nothing before or after it.";

std::vector<size_t> draw(uint64_t seed, int64_t attempt, size_t from, int64_t count) {
  const Permutation order(from, seed, attempt);
  std::vector<size_t> places;
  for (uint64_t k = 0; k < from && std::ssize(places) < count; ++k)
    places.push_back(static_cast<size_t>(order(k)));
  return places;
}

// Words in lower case with one space between and around them; what is no letter
// or digit of ASCII parts words, what is beyond ASCII belongs to them.
std::string spaced_words(const std::string &text) {
  std::string words = " ";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || std::isalnum(byte)) {
      words += static_cast<char>(byte < 0x80 ? std::tolower(byte) : byte);
    } else if (words.back() != ' ') {
      words += ' ';
    }
  }
  if (words.back() != ' ') words += ' ';
  return words;
}

int64_t num_words(const std::string &text) {
  std::istringstream in(text);
  int64_t count = 0;
  for (std::string word; in >> word;) ++count;
  return count;
}

bool is_similar(const std::string &text, const std::vector<KnownPrompt> &known, double limit) {
  return std::any_of(known.begin(), known.end(),
                     [&](const KnownPrompt &each) { return rouge_l(text, each.text) >= limit; });
}

}  // namespace

Demonstrations demonstrations_of(uint64_t seed, int64_t attempt, size_t num_seeds, size_t num_made,
                                 const SynthesizeConfig &config) {
  Demonstrations shown{draw(seed, attempt, num_seeds, config.seed_demonstrations), {}};
  if (static_cast<int64_t>(num_made) >= config.own_demonstrations)
    shown.made = draw(~seed, attempt, num_made, config.own_demonstrations);
  return shown;
}

std::string prompt_question(const std::vector<std::string> &demonstrations,
                            const SynthesizeConfig &config) {
  std::string text = kQuestion;
  if (!config.prompt_template.empty()) {
    std::ifstream in(config.prompt_template);
    std::ostringstream read;
    read << in.rdbuf();
    text = read.str();
    if (!in || text.find("{demonstrations}") == std::string::npos)
      throw std::invalid_argument("synthesize.prompt_template: " + config.prompt_template +
                                  " can not be read, or has no {demonstrations}");
  }
  std::string list;
  for (size_t i = 0; i < demonstrations.size(); ++i)
    list += fmt::format("Task {}: {}\n", i + 1, demonstrations[i]);
  return fill_in(text, Json{{"demonstrations", list}});
}

std::string PromptPool::add(const std::string &id, const std::string &said, bool ended) {
  const std::string text = extract_answer(said, {.pattern = config_.prompt_pattern, .last = false});
  const std::string reason = reason_against(text, ended);
  if (reason.empty()) {
    made_.push_back({id, text});
  } else {
    ++dropped_[reason];
  }
  return reason;
}

std::string PromptPool::reason_against(const std::string &text, bool ended) const {
  if (!ended) return "cut";
  if (text.empty()) return "empty";
  const int64_t words = num_words(text);
  if (words < config_.min_words) return "short";
  if (words > config_.max_words) return "long";
  const std::string spaced = spaced_words(text);
  for (const std::string &blocked : config_.blocked_words) {
    const std::string wanted = spaced_words(blocked);
    if (wanted.size() > 1 && spaced.find(wanted) != std::string::npos) return "blocked";
  }
  if (is_similar(text, seeds_, config_.max_rouge_l) || is_similar(text, made_, config_.max_rouge_l))
    return "similar";
  return "";
}

}  // namespace lathe
