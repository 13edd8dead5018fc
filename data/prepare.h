#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/corpus/corpus.h"
#include "data/shards/dataset.h"
#include "data/tokenize/tokenizer.h"

// Raw files -> a dataset folder of token shards.
namespace lathe {

struct PrepareOptions {
  std::vector<std::string> files;  // expanded
  Shape shape = Shape::kAuto;
  std::string chat_template = "auto";  // what ChatFormat takes
  bool assistant_only_loss = true;  // train only on what the assistant says, or on the completion
  std::vector<std::string> roles_to_train = {"assistant"};  // where a message does not say so itself
  bool append_eos = true;           // text: end every document with the eos token, if there is one
  int64_t max_length = 1024;        // longer documents are cut here and counted; 0: never
  int64_t shard_tokens = 64 << 20;  // start a new shard file beyond this
  int threads = 1;
};

struct PrepareReport {
  int64_t read = 0, kept = 0, cut = 0;  // records; cut: longer than max_length
  int64_t all_masked = 0,
          empty = 0;  // dropped: nothing left to train on | no token; read = kept + these
  int64_t tokens = 0, targets = 0;
  std::string shape_reason;
  std::vector<std::string> first_dropped;  // up to 5 "file:line: why"
};

// progress(bytes done, bytes in all, records) is called now and then from the calling thread; may
// be empty.
using PrepareProgress = std::function<void(int64_t, int64_t, int64_t)>;

// All files must have one shape. Throws std::invalid_argument when no record is kept or folder is
// there already. Writes folder (made anew under a temporary name, renamed when complete).
// Byte-identical for any number of threads.
PrepareReport prepare(const PrepareOptions& options, const Tokenizer& tokenizer,
                      const std::string& folder, const PrepareProgress& progress = {});

// 16 hex digits over what decides the tokens: the files' contents in order (not their names or
// times), the options that shape tokens (not threads), tokenizer and template. Where train keeps
// what it prepared: <cache>/<cache_key>.
std::string cache_key(const PrepareOptions& options, const Tokenizer& tokenizer);

}  // namespace lathe
