#include "data/loader/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "data/loader/loader.h"
#include "data/loader/order.h"

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
    : datasets_(std::move(datasets)), column_(options.column), max_length_(options.max_length) {
  check_weights(weights, datasets_.size());
  for (size_t s = 0; s < datasets_.size(); ++s) {
    const std::vector<int64_t> times =
        takes(datasets_[s]->documents(), weights[s], options.seed, s);
    for (size_t d = 0; d < times.size(); ++d) {
      if (times[d] == 0 || datasets_[s]->length(d, column_) == 0) continue;
      documents_.insert(documents_.end(), times[d],
                        {static_cast<int32_t>(s), static_cast<int64_t>(d)});
    }
  }
  // Wrapped rows hold neighbours of this list: mixed once, or a row would hold one source only.
  if (options.packing == Packing::kWrapped && options.shuffle) {
    std::vector<Document> mixed;
    const Permutation permutation(documents_.size(), options.seed, kMix);
    for (size_t i = 0; i < documents_.size(); ++i) mixed.push_back(documents_[permutation(i)]);
    documents_.swap(mixed);
  }
  std::vector<int64_t> lengths;
  for (const Document& d : documents_)
    lengths.push_back(datasets_[d.dataset]->length(d.document, column_));
  plan_ = plan_packing(lengths, options.max_length, options.packing);
}

Rows::Place Rows::place(const Piece& piece) const {
  const Document& document = documents_[piece.document];
  const Dataset::Place at = datasets_[document.dataset]->place(document.document);
  const int64_t begin = static_cast<int64_t>(at.shard->offsets(column_)[at.document]) + piece.begin;
  return {at.shard, begin, begin + piece.length};
}

void Rows::read(int64_t r, std::vector<int64_t>& tokens, std::vector<uint8_t>& mask,
                std::vector<int64_t>& lengths) const {
  for (const Piece& piece : plan_.row(r)) {
    const Place at = place(piece);
    const size_t before = tokens.size();
    tokens.resize(before + piece.length);
    mask.resize(before + piece.length);
    at.shard->read(column_, at.begin, at.end, tokens.data() + before, mask.data() + before);
    lengths.push_back(piece.length);
  }
}

int64_t Rows::count_targets() const {
  int64_t targets = 0;
  std::vector<uint8_t> mask;
  for (const Piece& piece : plan_.pieces) {
    const Place at = place(piece);
    if (at.shard->all_trained(column_)) {
      targets += piece.length - 1;
      continue;
    }
    mask.resize(piece.length);
    at.shard->read(column_, at.begin, at.end, nullptr, mask.data());
    targets += std::count(mask.begin() + 1, mask.end(), uint8_t{1});
  }
  return targets;
}

}  // namespace lathe
