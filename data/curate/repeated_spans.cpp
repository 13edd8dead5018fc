#include "data/curate/repeated_spans.h"

#include <algorithm>

#include "data/curate/bloom_filter.h"

namespace lathe {
namespace {

using List = HashLists SignalBlock::*;

// f(document, hashes) for all that is kept.
template <class F>
void for_each_kept(const Decisions& decisions, const ForEachBlock& for_each, List list, F&& f) {
  for_each([&](size_t b, const SignalBlock& block) {
    for (size_t i = 0; i < block.size(); ++i) {
      const size_t document = decisions.first[b] + i;
      if (decisions.reasons[document] == kKept) f(document, (block.*list).at(i));
    }
  });
}

// Those that occur more than once, sorted, looked for in turns where they do not fit at once.
std::vector<uint64_t> repeated_hashes(const Decisions& decisions, const ForEachBlock& for_each,
                                      List list, int64_t most_bytes) {
  size_t count = 0;
  for_each_kept(decisions, for_each, list, [&](size_t, auto hashes) { count += hashes.size(); });
  const size_t turns = count / std::max<size_t>(static_cast<size_t>(most_bytes) / 8, 1) + 1;
  std::vector<uint64_t> repeated, some;
  for (size_t turn = 0; turn < turns; ++turn) {
    some.clear();
    for_each_kept(decisions, for_each, list, [&](size_t, auto hashes) {
      for (const uint64_t hash : hashes) {
        if ((hash >> 32) % turns == turn) some.push_back(hash);
      }
    });
    std::sort(some.begin(), some.end());
    for (size_t i = 1; i < some.size(); ++i) {
      if (some[i] == some[i - 1] && (repeated.empty() || repeated.back() != some[i]))
        repeated.push_back(some[i]);
    }
  }
  std::sort(repeated.begin(), repeated.end());
  return repeated;
}

// Says of hashes that occur more than once whether they were added.
class RepeatedSet {
 public:
  explicit RepeatedSet(std::vector<uint64_t> hashes)
      : hashes_(std::move(hashes)), added_(hashes_.size()) {}
  bool holds(uint64_t hash) const {
    const size_t at = place(hash);
    return at < hashes_.size() && hashes_[at] == hash && added_[at];
  }
  void add(uint64_t hash) {
    const size_t at = place(hash);
    if (at < hashes_.size() && hashes_[at] == hash) added_[at] = 1;
  }

 private:
  size_t place(uint64_t hash) const {
    return static_cast<size_t>(std::lower_bound(hashes_.begin(), hashes_.end(), hash) -
                               hashes_.begin());
  }
  std::vector<uint64_t> hashes_;
  std::vector<uint8_t> added_;
};

template <class Set>
void drop_repeated(Decisions& decisions, const ForEachBlock& for_each,
                   const std::vector<uint8_t>& tiers, const SpanRule& rule, List list, Set& said) {
  for (const Tier tier : {Tier::kGold, Tier::kSilver, Tier::kSynthetic}) {
    if (std::find(tiers.begin(), tiers.end(), static_cast<uint8_t>(tier)) == tiers.end()) continue;
    for_each_kept(decisions, for_each, list, [&](size_t document, auto hashes) {
      if (tiers[document] != static_cast<uint8_t>(tier) || hashes.empty()) return;
      const auto repeated = static_cast<double>(std::count_if(
          hashes.begin(), hashes.end(), [&](uint64_t hash) { return said.holds(hash); }));
      if (repeated >= rule.share * static_cast<double>(hashes.size())) {
        decisions.reasons[document] = rule.reason;
        decisions.values[static_cast<uint32_t>(document)] =
            repeated / static_cast<double>(hashes.size());
      } else {
        for (const uint64_t hash : hashes) said.add(hash);
      }
    });
  }
}

}  // namespace

void drop_repeated_sentences(Decisions& decisions, const ForEachBlock& for_each,
                             const std::vector<uint8_t>& tiers, const SpanRule& rule,
                             int64_t most_bytes) {
  constexpr List kList = &SignalBlock::sentences;
  RepeatedSet said(repeated_hashes(decisions, for_each, kList, most_bytes));
  drop_repeated(decisions, for_each, tiers, rule, kList, said);
}

void drop_repeated_paragraphs(Decisions& decisions, const ForEachBlock& for_each,
                              const std::vector<uint8_t>& tiers, const SpanRule& rule,
                              int64_t most_bytes) {
  constexpr double kRate = 1e-6;
  constexpr List kList = &SignalBlock::paragraphs;
  int64_t count = 0;
  for_each_kept(decisions, for_each, kList,
                [&](size_t, auto hashes) { count += static_cast<int64_t>(hashes.size()); });
  BloomFilter said(count, kRate, most_bytes);
  drop_repeated(decisions, for_each, tiers, rule, kList, said);
  decisions.bloom_bytes = said.bytes();
  decisions.bloom_false_positives = said.false_positive_rate();
}

}  // namespace lathe
