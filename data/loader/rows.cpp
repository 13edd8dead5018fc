#include "data/loader/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "data/loader/loader.h"
#include "data/loader/order.h"
#include "data/shards/order_scalar.h"

namespace lathe {
namespace {

// Purposes of permutations that are no epoch: far from any epoch's number.
constexpr uint64_t kSample = uint64_t{1} << 62, kMix = uint64_t{1} << 63;

void check_weights(const std::vector<double>& weights, size_t datasets) {
  if (weights.size() != datasets) {
    throw std::invalid_argument(
        fmt::format("loader: {} data sets have {} weights", datasets, weights.size()));
  }
  for (const double weight : weights) {
    if (!(weight >= 0 && weight <= 1000)) {
      throw std::invalid_argument(
          fmt::format("loader: a data set's weight is {}, expected 0 to 1000", weight));
    }
  }
}

// How often each of n documents is taken.
std::vector<int64_t> takes(int64_t n, double weight, uint64_t seed, uint64_t dataset) {
  const auto all = static_cast<int64_t>(std::llround(weight * static_cast<double>(n)));
  std::vector<int64_t> times(n, n == 0 ? 0 : all / n);
  if (n == 0 || all % n == 0) return times;
  const Permutation sample(n, seed, kSample + dataset);
  for (int64_t k = 0; k < all % n; ++k) ++times[sample(k)];
  return times;
}

}  // namespace

Rows::Rows(std::vector<std::shared_ptr<const Dataset>> datasets, const std::vector<double>& weights,
           const LoaderOptions& options)
    : datasets_(std::move(datasets)),
      columns_(options.columns),
      label_(options.label),
      max_length_(options.max_length) {
  check_weights(weights, datasets_.size());
  for (size_t s = 0; s < datasets_.size(); ++s) {
    const std::vector<int64_t> times =
        takes(datasets_[s]->documents(), weights[s], options.seed, s);
    for (size_t d = 0; d < times.size(); ++d) {
      const Document document{static_cast<int32_t>(s), static_cast<int64_t>(d)};
      if (times[d] == 0 || length(document) == 0) continue;
      documents_.insert(documents_.end(), times[d], document);
    }
  }
  sort_documents(options.order);
  const bool ordered = options.order != DocumentOrder::kNone;
  // Wrapped rows hold neighbours of this list: mixed once, or a row would hold one source only.
  if (options.packing == Packing::kWrapped && options.shuffle && !ordered) {
    std::vector<Document> mixed;
    const Permutation permutation(documents_.size(), options.seed, kMix);
    for (size_t i = 0; i < documents_.size(); ++i) mixed.push_back(documents_[permutation(i)]);
    documents_.swap(mixed);
  }
  std::vector<int64_t> lengths;
  for (const Document& d : documents_) lengths.push_back(length(d));
  if (!options.preferences()) {
    const bool mixes = ordered && options.packing == Packing::kBestFit;
    plan_ = plan_packing(lengths, options.max_length, mixes ? Packing::kNextFit : options.packing);
    return;
  }
  // Never split: what is compared is compared as a whole.
  for (const int64_t whole : lengths) max_length_ = std::max(max_length_, whole);
  plan_ = plan_packing(lengths, max_length_, Packing::kOff);
}

void Rows::sort_documents(DocumentOrder order) {
  if (order == DocumentOrder::kNone) return;
  for (const auto& dataset : datasets_) {
    for (const auto& shard : dataset->shards()) {
      const std::vector<std::string> names = shard->scalars();
      if (std::find(names.begin(), names.end(), kOrderScalar) == names.end())
        throw std::invalid_argument(dataset->folder() +
                                    ": was prepared without a number to order its documents by; "
                                    "prepare it again with data.order_by");
    }
  }
  std::vector<std::pair<float, Document>> keyed;
  for (const Document& document : documents_) {
    const Dataset::Place at = datasets_[document.dataset]->place(document.document);
    const float key = at.shard->scalar(kOrderScalar)[at.document];
    keyed.emplace_back(order == DocumentOrder::kAscending ? key : -key, document);
  }
  std::stable_sort(keyed.begin(), keyed.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < keyed.size(); ++i) documents_[i] = keyed[i].second;
}

uint64_t Rows::order_hash() const {
  uint64_t hash = 0;
  for (const Document& document : documents_)
    hash = mix_bits(hash + static_cast<uint64_t>(item(document)) + 1);
  return hash;
}

int64_t Rows::length(const Document& document) const {
  int64_t sum = 0;
  for (const std::string& column : columns_)
    sum += datasets_[document.dataset]->length(document.document, column);
  return sum;
}

int64_t Rows::item(int64_t r) const {
  return item(documents_[plan_.row(r).front().document]);
}

void Rows::origins(int64_t r, std::vector<Origin>& origins) const {
  for (const Piece& piece : plan_.row(r)) {
    const int64_t number = item(documents_[piece.document]);
    for (const std::string& column : columns_) {
      const Place at = place(piece, column);
      if (at.begin < at.end) origins.push_back({number, columns_.size() > 1 ? 0 : piece.begin});
    }
  }
}

int64_t Rows::item(const Document& document) const {
  int64_t before = 0;
  for (int32_t s = 0; s < document.dataset; ++s) before += datasets_[s]->documents();
  return before + document.document;
}

float Rows::label(int64_t r) const {
  const Document& document = documents_[plan_.row(r).front().document];
  const Dataset::Place at = datasets_[document.dataset]->place(document.document);
  return at.shard->scalar(label_)[at.document];
}

Rows::Place Rows::place(const Piece& piece, const std::string& column) const {
  const Document& document = documents_[piece.document];
  const Dataset::Place at = datasets_[document.dataset]->place(document.document);
  const auto offsets = at.shard->offsets(column);
  const auto first = static_cast<int64_t>(offsets[at.document]);
  if (columns_.size() > 1) return {at.shard, first, static_cast<int64_t>(offsets[at.document + 1])};
  return {at.shard, first + piece.begin, first + piece.begin + piece.length};
}

void Rows::read(int64_t r, std::vector<int64_t>& tokens, std::vector<uint8_t>& mask,
                std::vector<int64_t>& lengths) const {
  for (const Piece& piece : plan_.row(r)) {
    for (const std::string& column : columns_) {
      const Place at = place(piece, column);
      const size_t before = tokens.size();
      const int64_t length = at.end - at.begin;
      tokens.resize(before + length);
      mask.resize(before + length);
      at.shard->read(column, at.begin, at.end, tokens.data() + before, mask.data() + before);
      lengths.push_back(length);
    }
  }
}

int64_t Rows::count_targets() const {
  int64_t targets = 0;
  std::vector<uint8_t> mask;
  for (const Piece& piece : plan_.pieces) {
    for (const std::string& column : columns_) {
      const Place at = place(piece, column);
      if (at.begin == at.end) continue;
      if (at.shard->all_trained(column)) {
        targets += at.end - at.begin - 1;
        continue;
      }
      mask.resize(at.end - at.begin);
      at.shard->read(column, at.begin, at.end, nullptr, mask.data());
      targets += std::count(mask.begin() + 1, mask.end(), uint8_t{1});
    }
  }
  return targets;
}

}  // namespace lathe
