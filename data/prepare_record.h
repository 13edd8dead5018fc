#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "data/prepare.h"
#include "data/tokenize/chat_format.h"

// One record -> ids and mask, or the reason why it is dropped. Pure, so that records can be made on
// many threads.
namespace lathe {

struct PreparedRecord {
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;  // empty: all trained
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
