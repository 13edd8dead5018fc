#pragma once

#include <memory>
#include <vector>

#include "data/loader/batch.h"
#include "data/loader/packing.h"
#include "data/shards/dataset.h"

// The documents of one epoch out of weighted data sets, and the rows they are packed into.
namespace lathe {

struct LoaderOptions;
enum class DocumentOrder;

class Rows {
 public:
  Rows(std::vector<std::shared_ptr<const Dataset>> datasets, const std::vector<double>& weights,
       const LoaderOptions& options);

  int64_t count() const { return plan_.rows(); }
  int64_t documents() const { return static_cast<int64_t>(documents_.size()); }
  int64_t max_length() const { return max_length_; }
  const PackingPlan& plan() const { return plan_; }
  // Appends row r's tokens and masks, and the length of each of its pieces.
  void read(int64_t r, std::vector<int64_t>& tokens, std::vector<uint8_t>& mask,
            std::vector<int64_t>& lengths) const;
  // Appends where each document of row r's batch comes from; empty ones make none.
  void origins(int64_t r, std::vector<Origin>& origins) const;
  int64_t count_targets() const;
  uint64_t order_hash() const;  // of the documents in their order
  // Of the document that row r begins with: its number over all data sets, and its label.
  int64_t item(int64_t r) const;
  float label(int64_t r) const;

 private:
  struct Document {
    int32_t dataset;
    int64_t document;
  };
  struct Place {
    const TokenShard* shard;
    int64_t begin, end;  // tokens of the shard's column
  };
  void sort_documents(DocumentOrder order);
  Place place(const Piece& piece, const std::string& column) const;
  int64_t length(const Document& document) const;
  int64_t item(const Document& document) const;

  std::vector<std::shared_ptr<const Dataset>>
      datasets_;  // shared with whoever opened them (train and eval may be one)
  std::vector<std::string> columns_;
  std::string label_;
  int64_t max_length_;
  std::vector<Document> documents_;
  PackingPlan plan_;
};

}  // namespace lathe
