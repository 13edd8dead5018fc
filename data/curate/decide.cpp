#include "data/curate/decide.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "data/curate/repeated_spans.h"
#include "data/curate/repeated_substrings.h"
#include "data/curate/union_find.h"

namespace lathe {
namespace {

struct Entry {
  uint64_t hash;
  uint32_t document;
  bool operator<(const Entry& other) const {
    return hash != other.hash ? hash < other.hash : document < other.document;
  }
};

// f(members) for each set of documents that share a hash: columns(block, row, column) gives the
// hashes, 0 where there is none. As many columns and as large a part of the hashes at once as fit.
class Groups {
 public:
  Groups(const ForEachBlock& for_each, const Decisions& decisions, int64_t most_bytes)
      : for_each_(for_each),
        decisions_(decisions),
        most_(static_cast<size_t>(most_bytes) / sizeof(Entry)) {}

  void each(size_t columns,
            const std::function<uint64_t(const SignalBlock&, size_t, size_t)>& hash_at,
            const std::function<void(const Entry*, const Entry*)>& f) {
    const size_t documents = std::max<size_t>(decisions_.reasons.size(), 1);
    const size_t turns = documents / std::max<size_t>(most_, 1) + 1;
    const size_t at_once = turns > 1 ? 1 : std::clamp<size_t>(most_ / documents, 1, columns);
    for (size_t begin = 0; begin < columns; begin += at_once) {
      for (size_t turn = 0; turn < turns; ++turn)
        one_turn(begin, std::min(columns, begin + at_once), turn, turns, hash_at, f);
    }
  }

 private:
  void one_turn(size_t begin, size_t end, size_t turn, size_t turns,
                const std::function<uint64_t(const SignalBlock&, size_t, size_t)>& hash_at,
                const std::function<void(const Entry*, const Entry*)>& f) {
    std::vector<std::vector<Entry>> entries(end - begin);
    for (std::vector<Entry>& column : entries) column.reserve(decisions_.reasons.size() / turns);
    for_each_([&](size_t b, const SignalBlock& block) {
      for (size_t i = 0; i < block.size(); ++i) {
        const size_t document = decisions_.first[b] + i;
        if (decisions_.reasons[document] != kKept) continue;
        for (size_t c = begin; c < end; ++c) {
          const uint64_t hash = hash_at(block, i, c);
          if (hash != 0 && (hash >> 32) % turns == turn)
            entries[c - begin].push_back({hash, static_cast<uint32_t>(document)});
        }
      }
    });
    for (std::vector<Entry>& column : entries) {
      std::sort(column.begin(), column.end());
      for (size_t i = 0; i < column.size();) {
        size_t k = i + 1;
        while (k < column.size() && column[k].hash == column[i].hash) ++k;
        if (k > i + 1) f(column.data() + i, column.data() + k);
        i = k;
      }
    }
  }

  const ForEachBlock& for_each_;
  const Decisions& decisions_;
  size_t most_;
};

struct Standing {
  std::vector<uint8_t> tiers;  // by document
  std::vector<float> quality;

  // Whether a is to survive rather than b: better tier, then quality, then first.
  bool better(uint32_t a, uint32_t b) const {
    if (tiers[a] != tiers[b]) return tiers[a] < tiers[b];
    if (quality[a] != quality[b]) return quality[a] > quality[b];
    return a < b;
  }
};

void drop_clusters(Decisions& decisions, UnionFind& sets, const Standing& standing,
                   uint16_t reason) {
  const auto count = static_cast<uint32_t>(decisions.reasons.size());
  std::vector<uint32_t> best(count, UINT32_MAX);
  for (uint32_t d = 0; d < count; ++d) {
    if (decisions.reasons[d] != kKept) continue;
    uint32_t& champion = best[sets.find(d)];
    if (champion == UINT32_MAX || standing.better(d, champion)) champion = d;
  }
  for (uint32_t d = 0; d < count; ++d) {
    if (decisions.reasons[d] != kKept) continue;
    const uint32_t champion = best[sets.find(d)];
    if (champion == d) continue;
    decisions.reasons[d] = reason;
    decisions.survivor[d] = champion;
  }
}

// Where substrings are only cut, a document goes of which nothing is left.
double substring_share(const CurateOptions& options) {
  return options.repeated_substrings > 0 ? options.repeated_substrings : 1;
}

std::string names_of_rules() {
  std::string names;
  for (const Filter& filter : filter_table()) {
    for (const FilterRule& rule : filter.rules)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", rule.name);
  }
  return names;
}

}  // namespace

Rules::Rules(const CurateOptions& options) {
  reasons_ = {{"", "kept", "", 0, FilterRule::kAbove},
              {"read", "bad_record", "", 0, FilterRule::kAbove}};
  add_filters(options);
  for (const std::string& text : options.drop) {
    expressions_.emplace_back(static_cast<uint16_t>(reasons_.size()), Expression(text));
    reasons_.push_back({"expression", text, "", 0, FilterRule::kAbove});
  }
  exact_ = static_cast<uint16_t>(reasons_.size());
  reasons_.push_back({"exact", "exact_duplicate", "", 0, FilterRule::kAbove});
  reasons_.push_back({"near", "near_duplicate", "", 0, FilterRule::kAbove});
  reasons_.push_back({"answers", "same_answer", "", static_cast<double>(options.most_same_answers),
                      FilterRule::kAbove});
  reasons_.push_back(
      {"sentences", "repeated_sentences", "", options.repeated_sentences, FilterRule::kAtLeast});
  reasons_.push_back(
      {"paragraphs", "repeated_paragraphs", "", options.repeated_paragraphs, FilterRule::kAtLeast});
  reasons_.push_back(
      {"substrings", "repeated_substrings", "", substring_share(options), FilterRule::kAtLeast});
}

void Rules::add_filters(const CurateOptions& options) {
  std::set<std::string> unused;
  for (const auto& [name, unused_value] : options.thresholds) unused.insert(name);
  std::map<std::string, uint16_t> known;
  for (const Filter& filter : filter_table()) {
    for (const FilterRule& rule : filter.rules) {
      unused.erase(rule.name);
      const auto given = options.thresholds.find(rule.name);
      known[rule.name] = static_cast<uint16_t>(reasons_.size());
      reasons_.push_back({filter.name, rule.name, rule.signal,
                          given == options.thresholds.end() ? rule.threshold : given->second,
                          rule.side});
    }
  }
  if (!unused.empty()) {
    throw std::invalid_argument(fmt::format("thresholds: `{}` is no rule; expected one of {}",
                                            *unused.begin(), names_of_rules()));
  }
  for (const CurateSource& source : options.sources) {
    std::vector<Step>& steps = steps_.emplace_back();
    for (const std::string& name : source.filters) {
      for (const FilterRule& rule : filter_named(name).rules) {
        const uint16_t reason = known.at(rule.name);
        steps.push_back({reason, signal_index(rule.signal), rule.side, reasons_[reason].threshold});
      }
    }
  }
}

Rules::Verdict Rules::decide(size_t source, const double* signals) const {
  for (const Step& step : steps_[source]) {
    const double value = signals[step.signal];
    const bool drops = step.side == FilterRule::kBelow   ? value < step.threshold
                       : step.side == FilterRule::kAbove ? value > step.threshold
                                                         : value >= step.threshold;
    if (drops) return {step.reason, value};
  }
  for (const auto& [reason, expression] : expressions_) {
    const double value = expression.value(signals);
    if (value != 0) return {reason, value};
  }
  return {};
}

Decisions decide_all(const CurateOptions& options, const Rules& rules, const ForEachBlock& for_each,
                     const ForEachText& for_each_text) {
  Decisions decisions;
  Standing standing;
  const size_t quality = signal_index(options.quality);
  for_each([&](size_t, const SignalBlock& block) {
    decisions.first.push_back(decisions.reasons.size());
    for (size_t i = 0; i < block.size(); ++i) {
      const double* signals = block.signals.data() + i * num_signals();
      const bool readable = block.faults[i].empty();
      decisions.survivor.push_back(static_cast<uint32_t>(decisions.reasons.size()));
      decisions.reasons.push_back(readable ? rules.decide(block.source, signals).reason
                                           : kUnreadable);
      standing.tiers.push_back(static_cast<uint8_t>(options.sources[block.source].tier));
      standing.quality.push_back(static_cast<float>(signals[quality]));
    }
  });
  if (decisions.reasons.size() >= UINT32_MAX)
    throw std::invalid_argument("curate: more than 4294967294 documents; curate them in parts");
  Groups groups(for_each, decisions, options.dedup_bytes);
  const auto unite_all = [](UnionFind& sets) {
    return [&sets](const Entry* begin, const Entry* end) {
      for (const Entry* e = begin + 1; e < end; ++e) sets.unite(begin->document, e->document);
    };
  };
  if (options.exact) {
    UnionFind sets(decisions.reasons.size());
    groups.each(
        1, [](const SignalBlock& b, size_t i, size_t) { return b.simple_hashes[i]; },
        unite_all(sets));
    drop_clusters(decisions, sets, standing, rules.exact_duplicate());
  }
  if (options.near) {
    UnionFind sets(decisions.reasons.size());
    const auto bands = static_cast<size_t>(options.minhash.bands);
    groups.each(
        bands, [bands](const SignalBlock& b, size_t i, size_t c) { return b.bands[i * bands + c]; },
        unite_all(sets));
    drop_clusters(decisions, sets, standing, rules.near_duplicate());
  }
  if (options.repeated_sentences > 0)
    drop_repeated_sentences(decisions, for_each, standing.tiers,
                            {rules.repeated_sentences(), options.repeated_sentences},
                            options.dedup_bytes);
  if (options.repeated_paragraphs > 0)
    drop_repeated_paragraphs(decisions, for_each, standing.tiers,
                             {rules.repeated_paragraphs(), options.repeated_paragraphs},
                             options.bloom_bytes);
  if (options.most_same_answers > 0) {
    std::vector<uint32_t> members;
    groups.each(
        1, [](const SignalBlock& b, size_t i, size_t) { return b.answer_hashes[i]; },
        [&](const Entry* begin, const Entry* end) {
          members.clear();
          for (const Entry* e = begin; e < end; ++e) members.push_back(e->document);
          std::sort(members.begin(), members.end(),
                    [&](uint32_t a, uint32_t b) { return standing.better(a, b); });
          for (size_t k = static_cast<size_t>(options.most_same_answers); k < members.size(); ++k) {
            decisions.reasons[members[k]] = rules.same_answer();
            decisions.survivor[members[k]] = members[0];
            decisions.values[members[k]] = static_cast<double>(k + 1);
          }
        });
  }
  if (options.repeated_substrings > 0 || options.cut_substrings)
    drop_repeated_substrings(decisions, for_each_text,
                             {.reason = rules.repeated_substrings(),
                              .bytes = static_cast<size_t>(options.substring_bytes),
                              .share = substring_share(options),
                              .cut = options.cut_substrings,
                              .most_bytes = options.suffix_array_bytes,
                              .threads = options.threads});
  return decisions;
}

std::span<const TextCut> Decisions::cuts_of(size_t document) const {
  const auto [begin, end] =
      std::equal_range(cuts.begin(), cuts.end(), TextCut{static_cast<uint32_t>(document)},
                       [](const TextCut& a, const TextCut& b) { return a.document < b.document; });
  return {begin, end};
}

}  // namespace lathe
