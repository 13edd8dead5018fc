#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/prepare.h"
#include "data/tokenize/chat_format.h"

// One record -> ids and mask, or the reason why it is dropped. Pure, so that records can be made on
// many threads.
namespace lathe {

struct PreparedRecord {
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;  // empty: all trained
  bool cut = false;
  enum class Fate { kKept, kEmpty, kAllMasked } fate = Fate::kKept;

  int64_t targets() const;  // trained tokens, the first not counted
};

// format: there when the record is a conversation. Throws std::invalid_argument (without file and
// line) for what the template can not say, for marks that can not be known, for an id out of range.
PreparedRecord prepare_record(const Record& record, const PrepareOptions& options,
                              const Tokenizer& tokenizer, const std::optional<ChatFormat>& format);

}  // namespace lathe
