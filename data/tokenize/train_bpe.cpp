#include "data/tokenize/train_bpe.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <unordered_map>

#include "data/tokenize/unicode.h"
#include "data/tokenize/vocabulary.h"

namespace lathe {
namespace {

using Pair = std::pair<int32_t, int32_t>;

constexpr int64_t kMostWords = int64_t{1} << 31;  // distinct ones: they are numbered in 32 bits

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64_t key =
        uint64_t{static_cast<uint32_t>(pair.first)} << 32 | static_cast<uint32_t>(pair.second);
    return (key ^ key >> 29) * 0x9E3779B97F4A7C15u >> 16;
  }
};

// A word as the tokens that it is made of so far.
struct Word {
  uint32_t begin, size;  // in symbols_
  int64_t count;
};

// A pair together with words in which it came to be. There may be several of one pair: a token can
// arise from different merges, each bringing new neighbours.
struct Candidate {
  int64_t count;
  Pair pair;
  std::vector<uint32_t> words;

  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : other.pair < pair;
  }
};

class Training {
 public:
  Training(const WordCounts& words, const BpeTraining& options) : options_(options) {
    for (const std::string& token : options.special_tokens) token_id(token);
    trained_.num_special = trained_.tokens.size();
    const std::array<int32_t, 256> ids = add_alphabet(words);
    add_words(words, ids);
  }

  TrainedBpe run() {
    queue_new_pairs();
    while (static_cast<int64_t>(trained_.tokens.size()) < options_.vocab_size && !queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end());
      Candidate best = std::move(queue_.back());
      queue_.pop_back();
      const int64_t now = pairs_.at(best.pair).count;
      if (best.count != now) {  // other merges took some of it
        best.count = now;
        push(std::move(best));
        continue;
      }
      if (now < 1 || now < options_.min_frequency) break;
      merge(best);
      queue_new_pairs();
    }
    keep_last_merges();
    return std::move(trained_);
  }

 private:
  struct PairState {
    int64_t count = 0;
    std::vector<uint32_t> new_words;  // where it arose since the last queue_new_pairs()
  };

  int32_t token_id(const std::string& token) {
    const auto [known, is_new] = ids_.emplace(token, static_cast<int32_t>(trained_.tokens.size()));
    if (is_new) trained_.tokens.push_back(token);
    return known->second;
  }

  // The id of each byte, -1 where the alphabet's limit leaves it out. Characters are ordered by
  // code point.
  std::array<int32_t, 256> add_alphabet(const WordCounts& words) {
    std::array<int64_t, 256> seen{};
    for (const auto& [word, count] : words.counts()) {
      for (const char c : word) seen[static_cast<unsigned char>(c)] += count;
    }
    std::vector<int> kept;
    for (int byte = 0; byte < 256; ++byte) {
      if (options_.all_bytes) seen[byte] = std::numeric_limits<int64_t>::max();
      if (seen[byte] > 0) kept.push_back(byte);
    }
    const auto& characters = byte_characters();
    const auto by_code_point = [&](int a, int b) { return characters[a] < characters[b]; };
    std::sort(kept.begin(), kept.end(), by_code_point);
    if (options_.limit_alphabet > 0 &&
        static_cast<int64_t>(kept.size()) > options_.limit_alphabet) {
      std::stable_sort(kept.begin(), kept.end(), [&](int a, int b) { return seen[a] > seen[b]; });
      kept.resize(static_cast<size_t>(options_.limit_alphabet));
      std::sort(kept.begin(), kept.end(), by_code_point);
    }
    std::array<int32_t, 256> ids;
    ids.fill(-1);
    for (const int byte : kept) {
      std::string character;
      append_utf8(characters[byte], character);
      ids[byte] = token_id(character);
    }
    return ids;
  }

  void add_words(const WordCounts& words, const std::array<int32_t, 256>& ids) {
    for (const auto& [word, count] : words.counts()) {
      const auto begin = static_cast<uint32_t>(symbols_.size());
      for (const char c : word) {
        const int32_t id = ids[static_cast<unsigned char>(c)];
        if (id >= 0) symbols_.push_back(id);
      }
      const auto number = static_cast<uint32_t>(words_.size());
      words_.push_back({begin, static_cast<uint32_t>(symbols_.size()) - begin, count});
      for (size_t i = begin; i + 1 < symbols_.size(); ++i)
        arise({symbols_[i], symbols_[i + 1]}, number);
    }
  }

  void arise(const Pair& pair, uint32_t word) {
    PairState& state = pairs_[pair];
    state.count += words_[word].count;
    if (state.new_words.empty()) new_pairs_.push_back(pair);
    if (state.new_words.empty() || state.new_words.back() != word) state.new_words.push_back(word);
  }
  void vanish(const Pair& pair, uint32_t word) { pairs_[pair].count -= words_[word].count; }

  void push(Candidate candidate) {
    queue_.push_back(std::move(candidate));
    std::push_heap(queue_.begin(), queue_.end());
  }

  void queue_new_pairs() {
    for (const Pair& pair : new_pairs_) {
      PairState& state = pairs_.at(pair);
      std::vector<uint32_t> words = std::exchange(state.new_words, {});
      if (state.count > 0) push({state.count, pair, std::move(words)});
    }
    new_pairs_.clear();
  }

  void merge(const Candidate& best) {
    const auto [left, right] = best.pair;
    const int32_t whole = token_id(trained_.tokens[left] + trained_.tokens[right]);
    trained_.merges.push_back(best.pair);
    for (const uint32_t word : best.words) merge_in(word, best.pair, whole);
  }

  // The pair's own count stays as it is: the reference does so, and a second candidate of the same
  // pair is ordered by it.
  void merge_in(uint32_t number, const Pair& pair, int32_t whole) {
    Word& word = words_[number];
    int32_t* const symbols = symbols_.data() + word.begin;
    uint32_t to = 0;
    for (uint32_t from = 0; from < word.size; ++from) {
      if (symbols[from] != pair.first || from + 1 == word.size ||
          symbols[from + 1] != pair.second) {
        symbols[to++] = symbols[from];
        continue;
      }
      if (to > 0) {
        vanish({symbols[to - 1], pair.first}, number);
        arise({symbols[to - 1], whole}, number);
      }
      symbols[to++] = whole;
      ++from;
      if (from + 1 < word.size) {
        vanish({pair.second, symbols[from + 1]}, number);
        arise({whole, symbols[from + 1]}, number);
      }
    }
    word.size = to;
  }

  // A pair that was merged twice has, as in the reference, the rank of the second time.
  void keep_last_merges() {
    std::unordered_map<Pair, size_t, PairHash> last;
    for (size_t i = 0; i < trained_.merges.size(); ++i) last[trained_.merges[i]] = i;
    std::vector<Pair> merges;
    for (size_t i = 0; i < trained_.merges.size(); ++i) {
      if (last[trained_.merges[i]] == i) merges.push_back(trained_.merges[i]);
    }
    trained_.merges = std::move(merges);
  }

  const BpeTraining& options_;
  TrainedBpe trained_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Word> words_;
  std::vector<int32_t> symbols_;
  std::unordered_map<Pair, PairState, PairHash> pairs_;
  std::vector<Pair> new_pairs_;
  std::vector<Candidate> queue_;
};

}  // namespace

TrainedBpe train_bpe(const WordCounts& words, const BpeTraining& options) {
  const auto special = static_cast<int64_t>(options.special_tokens.size());
  const int64_t least = special + (options.all_bytes && options.limit_alphabet == 0 ? 256 : 1);
  if (options.vocab_size < least || options.vocab_size > (int64_t{1} << 22)) {
    throw std::invalid_argument("train: vocab_size is " + std::to_string(options.vocab_size) +
                                "; expected " + std::to_string(least) +
                                " (special tokens and alphabet) to 4194304");
  }
  if (options.min_frequency < 0 || options.limit_alphabet < 0) {
    throw std::invalid_argument("train: min_frequency and limit_alphabet can not be negative");
  }
  if (words.counts().empty()) throw std::invalid_argument("train: the texts hold no word");
  size_t bytes = 0;
  for (const auto& [word, count] : words.counts()) bytes += word.size();
  if (bytes >= kMostWords) {
    throw std::invalid_argument(
        "train: the texts hold more than 2 GiB of different words; train on a sample of them");
  }
  return Training(words, options).run();
}

}  // namespace lathe
