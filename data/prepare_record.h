#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "data/chat/chat_format.h"
#include "data/prepare.h"

// One record -> ids and mask, or the reason why it is dropped. Pure, so that records can be made on
// many threads.
namespace lathe {

// The columns and scalars of the shards that a shape makes: sequence; chosen and rejected; for
// answers that are judged one by one, answer and the scalar label.
struct ShardColumns {
  std::vector<std::string> columns, scalars;
};
ShardColumns shard_columns(Shape shape);

struct PreparedRecord {
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;  // empty: all trained
  // Of a preference: the answer that was rejected, cut; ids are those of the chosen one, whose
  // document is the only piece.
  std::vector<int32_t> rejected_ids;
  std::vector<uint8_t> rejected_mask;
  std::optional<bool> label;  // of an answer that is judged by itself
  std::optional<float> order;  // PrepareOptions::order_by
  // Tokens [begin, end) of each document that is made of it: one, but for what is split.
  std::vector<std::pair<size_t, size_t>> pieces;
  size_t length = 0;  // in tokens, before it was cut
  bool cut = false;
  enum class Fate { kKept, kEmpty, kAllMasked, kTooLong } fate = Fate::kKept;

  // Trained tokens of a document of it, its first not counted.
  int64_t targets(size_t begin, size_t end) const;
};

// format: there when the record is a conversation. Throws std::invalid_argument (without file and
// line) for what the template can not say, for marks that can not be known, for an id out of range.
PreparedRecord prepare_record(const Record& record, const PrepareOptions& options,
                              const Tokenizer& tokenizer, const std::optional<ChatFormat>& format);

}  // namespace lathe
