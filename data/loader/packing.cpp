#include "data/loader/packing.h"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace lathe {
namespace {

std::vector<Piece> split(std::span<const int64_t> lengths, int64_t max_length) {
  std::vector<Piece> pieces;
  for (size_t d = 0; d < lengths.size(); ++d) {
    for (int64_t begin = 0; begin < lengths[d]; begin += max_length) {
      pieces.push_back({static_cast<int64_t>(d), begin, std::min(max_length, lengths[d] - begin)});
    }
  }
  return pieces;
}

PackingPlan one_per_row(std::vector<Piece> pieces) {
  PackingPlan plan;
  for (size_t i = 0; i < pieces.size(); ++i)
    plan.first_piece.push_back(static_cast<int64_t>(i) + 1);
  plan.pieces = std::move(pieces);
  return plan;
}

PackingPlan next_fit(std::vector<Piece> pieces, int64_t max_length) {
  PackingPlan plan;
  int64_t space = max_length;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].length > space) {
      plan.first_piece.push_back(static_cast<int64_t>(i));
      space = max_length;
    }
    space -= pieces[i].length;
  }
  if (!pieces.empty()) plan.first_piece.push_back(static_cast<int64_t>(pieces.size()));
  plan.pieces = std::move(pieces);
  return plan;
}

PackingPlan wrapped(std::span<const int64_t> lengths, int64_t max_length) {
  PackingPlan plan;
  int64_t space = max_length;
  for (size_t d = 0; d < lengths.size(); ++d) {
    for (int64_t begin = 0; begin < lengths[d];) {
      const int64_t length = std::min(space, lengths[d] - begin);
      plan.pieces.push_back({static_cast<int64_t>(d), begin, length});
      begin += length;
      space -= length;
      if (space > 0) continue;
      plan.first_piece.push_back(static_cast<int64_t>(plan.pieces.size()));
      space = max_length;
    }
  }
  if (space < max_length) plan.first_piece.push_back(static_cast<int64_t>(plan.pieces.size()));
  return plan;
}

// For each piece the row that best fit decreasing gives it: the fullest open row where it still
// fits, else a new one. Rows with the same space left are taken last in, first out. O(n log
// max_length).
std::vector<int64_t> best_fit_rows(const std::vector<Piece>& pieces, int64_t max_length,
                                   int64_t& rows) {
  std::vector<size_t> order(pieces.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return pieces[a].length > pieces[b].length; });
  std::vector<int64_t> row_of(pieces.size());
  std::map<int64_t, std::vector<int64_t>> open;  // space left -> rows
  rows = 0;
  for (const size_t i : order) {
    const int64_t length = pieces[i].length;
    int64_t left = max_length - length;
    auto fullest = open.lower_bound(length);
    if (fullest == open.end()) {
      row_of[i] = rows++;
    } else {
      row_of[i] = fullest->second.back();
      left = fullest->first - length;
      fullest->second.pop_back();
      if (fullest->second.empty()) open.erase(fullest);
    }
    if (left > 0) open[left].push_back(row_of[i]);
  }
  return row_of;
}

PackingPlan best_fit(const std::vector<Piece>& pieces, int64_t max_length) {
  int64_t rows = 0;
  const std::vector<int64_t> row_of = best_fit_rows(pieces, max_length, rows);
  // Number the rows by their first piece; then pieces in order fill their rows in order.
  std::vector<int64_t> number(rows, -1), size(rows, 0);
  int64_t next = 0;
  for (const int64_t row : row_of) {
    if (number[row] < 0) number[row] = next++;
    ++size[number[row]];
  }
  PackingPlan plan;
  plan.pieces.resize(pieces.size());
  for (const int64_t count : size) plan.first_piece.push_back(plan.first_piece.back() + count);
  std::vector<int64_t> free(plan.first_piece.begin(), plan.first_piece.end() - 1);
  for (size_t i = 0; i < pieces.size(); ++i) plan.pieces[free[number[row_of[i]]]++] = pieces[i];
  return plan;
}

}  // namespace

PackingPlan plan_packing(std::span<const int64_t> lengths, int64_t max_length, Packing packing) {
  if (max_length < 1) {
    throw std::invalid_argument("max_length is " + std::to_string(max_length) +
                                ", expected at least 1");
  }
  if (packing == Packing::kWrapped) return wrapped(lengths, max_length);
  std::vector<Piece> pieces = split(lengths, max_length);
  if (packing == Packing::kNextFit) return next_fit(std::move(pieces), max_length);
  return packing == Packing::kOff ? one_per_row(std::move(pieces)) : best_fit(pieces, max_length);
}

}  // namespace lathe
