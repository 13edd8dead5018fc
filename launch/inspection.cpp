#include "launch/inspection.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "data/shards/hash.h"
#include "data/tokenize/token_view.h"

namespace lathe {
namespace {

constexpr int64_t kBins = 12;

// Whatever numbers prepare wrote into the manifest, those that say how much is left in front.
void read_report(const std::string& text, Inspection& view) {
  const auto report = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!report.is_object()) return;
  for (const auto& [key, value] : report.items()) {
    if (value.is_number_integer() && key != "tokens" && key != "targets" && key != "documents") {
      view.counts.emplace_back(key, value.get<int64_t>());
    }
  }
  const auto place = [](const auto& count) {
    return count.first == "read" ? 0 : count.first == "kept" ? 1 : 2;
  };
  std::stable_sort(view.counts.begin(), view.counts.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
  view.shape_reason = report.value("shape_reason", "");
  view.first_dropped = report.value("first_dropped", std::vector<std::string>());
}

void add_lengths(std::vector<int64_t> lengths, Inspection& view) {
  if (lengths.empty()) return;
  std::sort(lengths.begin(), lengths.end());
  view.shortest = lengths.front();
  view.median = lengths[lengths.size() / 2];
  view.longest = lengths.back();
  const int64_t width = view.longest / kBins + 1;
  for (int64_t low = 0; low <= view.longest; low += width) {
    const auto from = std::lower_bound(lengths.begin(), lengths.end(), low);
    const auto to = std::lower_bound(lengths.begin(), lengths.end(), low + width);
    view.lengths.push_back({low, low + width - 1, to - from});
  }
}

void add_packing(const std::vector<int64_t>& lengths, const InspectOptions& options,
                 Inspection& view) {
  for (const auto& [packing, name] : {std::pair{Packing::kOff, "false: one document a row"},
                                      {Packing::kBestFit, "bfd: best fit"},
                                      {Packing::kWrapped, "wrapped: cut anywhere"}}) {
    const int64_t rows = plan_packing(lengths, options.max_length, packing).rows();
    const double room = static_cast<double>(rows) * static_cast<double>(options.max_length);
    view.packing.push_back({name, packing == options.packing, rows,
                            room > 0 ? 1 - static_cast<double>(view.tokens) / room : 0});
  }
}

ShownExample example(int64_t document, const std::vector<int64_t>& ids,
                     const std::vector<uint8_t>& mask, const Tokenizer* tokenizer, int64_t most) {
  ShownExample shown{document, static_cast<int64_t>(ids.size()), 0, {}};
  for (size_t i = 1; i < mask.size(); ++i) shown.targets += mask[i];
  const std::span<const int64_t> first =
      std::span(ids).first(std::min(ids.size(), static_cast<size_t>(most)));
  std::vector<std::string> texts;
  if (tokenizer) texts = token_texts(*tokenizer, first);
  for (size_t i = 0; i < first.size(); ++i) {
    // The first token of a document is nobody's target, whatever the mask says.
    shown.shown.push_back(
        {tokenizer ? texts[i] : std::to_string(ids[i]) + " ", ids[i], i > 0 && mask[i] != 0});
  }
  return shown;
}

}  // namespace

Inspection inspect_dataset(const std::string& name, const Dataset& dataset,
                           const Tokenizer* tokenizer, const InspectOptions& options) {
  Inspection view;
  view.name = name;
  view.max_length = options.max_length;
  read_report(dataset.manifest().report, view);
  std::vector<int64_t> lengths, ids;
  std::vector<uint8_t> mask;
  std::unordered_set<uint64_t> seen;
  for (const auto& shard : dataset.shards()) {
    const std::string column = shard->columns().front();
    const auto offsets = shard->offsets(column);
    for (int64_t d = 0; d < shard->documents(); ++d) {
      const auto begin = static_cast<int64_t>(offsets[d]),
                 end = static_cast<int64_t>(offsets[d + 1]);
      ids.resize(static_cast<size_t>(end - begin));
      mask.resize(ids.size());
      shard->read(column, begin, end, ids.data(), mask.data());
      const std::string_view bytes(reinterpret_cast<const char*>(ids.data()),
                                   ids.size() * sizeof(int64_t));
      if (!seen.insert(hash_bytes(bytes)).second) ++view.duplicates;
      if (static_cast<int64_t>(view.examples.size()) < options.examples) {
        view.examples.push_back(example(view.documents, ids, mask, tokenizer, options.tokens));
      }
      for (size_t i = 1; i < mask.size(); ++i) view.targets += mask[i];
      lengths.push_back(end - begin);
      view.tokens += end - begin;
      ++view.documents;
    }
  }
  add_packing(lengths, options, view);
  add_lengths(std::move(lengths), view);
  return view;
}

}  // namespace lathe
