#pragma once

#include <cstdint>
#include <span>
#include <vector>

// Which documents share a row. Planned once from the lengths, the same for every epoch, rank and
// run.
namespace lathe {

// One document per row | best fit decreasing | concatenate and cut | documents as they come, a new
// row where the next has no room.
enum class Packing { kOff, kBestFit, kWrapped, kNextFit };

// A run of tokens of one document.
struct Piece {
  int64_t document = 0;  // its index in the list of documents that was planned
  int64_t begin = 0;     // first token, counted in the document
  int64_t length = 0;
  bool operator==(const Piece&) const = default;
};

struct PackingPlan {
  std::vector<Piece> pieces;            // row after row
  std::vector<int64_t> first_piece{0};  // [rows+1]

  int64_t rows() const { return static_cast<int64_t>(first_piece.size()) - 1; }
  std::span<const Piece> row(int64_t r) const {
    return std::span(pieces).subspan(first_piece[r], first_piece[r + 1] - first_piece[r]);
  }
};

// lengths[i]: tokens of document i; empty documents take no place. No row is longer than
// max_length. kBestFit, kNextFit and kOff split a longer document into pieces of max_length and a
// rest; kWrapped cuts the documents, laid end to end in the given order, every max_length tokens.
// Rows of kBestFit are ordered by their first document, pieces in a row by document.
PackingPlan plan_packing(std::span<const int64_t> lengths, int64_t max_length, Packing packing);

}  // namespace lathe
