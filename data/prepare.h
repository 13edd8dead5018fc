#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/corpus.h"
#include "data/shards/dataset.h"
#include "data/tokenize/tokenizer.h"

// Raw files -> a dataset folder of token shards.
namespace lathe {

// What becomes of a record that can not be read or rendered.
enum class OnBadRecord { kError, kSkip };
// What becomes of a record of more than max_length tokens. kSplit: pieces of max_length tokens and
// a rest, each a document; those without a target are left out.
enum class OnOverlong { kError, kDrop, kTruncate, kSplit };

OnBadRecord on_bad_record_named(std::string_view name);  // error, skip
OnOverlong on_overlong_named(std::string_view name);     // error, drop, truncate, split

struct PrepareOptions {
  std::vector<std::string> files;  // expanded
  Reading reading = {};
  std::string chat_template = "auto";  // what ChatFormat takes
  bool assistant_only_loss = true;  // train only on what the assistant says, or on the completion
  std::vector<std::string> roles_to_train = {"assistant"};  // where a message does not say so itself
  // Where a record's number stands that the loader may order by, kept as the scalar "order": a key,
  // or keys within keys with dots between. Empty: none.
  std::string order_by = {};
  bool append_eos = true;           // text: end every document with the eos token, if there is one
  int64_t max_length = 1024;        // tokens of a document; 0: any number
  OnOverlong on_overlong = OnOverlong::kTruncate;
  OnBadRecord on_bad_record = OnBadRecord::kError;
  double max_bad_records = 0.001;   // of kSkip: below 1 a share of all records, else their number
  double max_all_masked = 0.1;      // share of the records that may have nothing to train on
  int64_t shard_tokens = 16 << 20;  // start a new shard file beyond this
  int threads = 1;
};

// read = kept + bad + too_long + all_masked + empty.
struct PrepareReport {
  int64_t read = 0, kept = 0;         // records
  int64_t cut = 0;                    // of those read: truncated or split, as they were too long
  int64_t bad = 0;                    // skipped: could not be read or rendered
  int64_t too_long = 0;               // dropped: longer than max_length
  int64_t all_masked = 0, empty = 0;  // dropped: nothing left to train on | no token
  int64_t documents = 0, tokens = 0, targets = 0;
  std::string shape_reason;
  // Up to 5 each: "file:line" and, for what was dropped, why.
  std::vector<std::string> first_cut, first_dropped;
};

// JSON, as a data set's manifest keeps it, and back. Throws std::runtime_error for other text.
std::string report_text(const PrepareReport& report);
PrepareReport parse_report(const std::string& text);

// progress(bytes done, bytes in all, records) is called at the start and now and then from the
// calling thread; may be empty.
using PrepareProgress = std::function<void(int64_t, int64_t, int64_t)>;

// All files must have one shape. Throws std::invalid_argument when no record is kept, when more are
// bad or without a target than allowed, or when folder is there already. folder appears when it is
// complete; until then <folder>.partial holds the finished shards, and a later call with the same
// files and options goes on behind them, whatever ended the first. Byte-identical for any number of
// threads and of interruptions. Memory does not grow with the files.
PrepareReport prepare(const PrepareOptions& options, const Tokenizer& tokenizer,
                      const std::string& folder, const PrepareProgress& progress = {});

// 16 hex digits over what decides the tokens: the files' contents in order (not their names or
// times), the options that shape tokens (not threads), tokenizer and template. Where train keeps
// what it prepared: <cache>/<cache_key>.
std::string cache_key(const PrepareOptions& options, const Tokenizer& tokenizer);

}  // namespace lathe
