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
  std::vector<std::string> files;   // expanded
  Shape shape = Shape::kAuto;
  std::string chat_template = "chatml";
  bool assistant_only_loss = true;  // messages: train on what the assistant says only
  bool append_eos = true;           // text: end every document with the eos token, if there is one
  int64_t max_length = 1024;        // longer documents are cut here and counted; 0: never
  int64_t shard_tokens = 64 << 20;  // start a new shard file beyond this
  int threads = 1;
};

struct PrepareReport {
  int64_t read = 0, kept = 0, cut = 0;       // records; cut: longer than max_length
  int64_t all_masked = 0, empty = 0;         // dropped: nothing left to train on | no token
  int64_t tokens = 0, targets = 0;
  std::string shape_reason;
  std::vector<std::string> first_dropped;    // up to 5 "file:line: why"
};

// progress(bytes done, bytes in all, records) is called now and then from the calling thread; may be empty.
using PrepareProgress = std::function<void(int64_t, int64_t, int64_t)>;

// Writes folder (made anew under a temporary name, renamed when complete). Byte-identical for any number of threads.
PrepareReport prepare(const PrepareOptions& options, const Tokenizer& tokenizer, const std::string& folder,
                      const PrepareProgress& progress = {});

// Where train keeps what it prepared: <cache>/<hash of file names, sizes, modification times, contents' xxh64, tokenizer,
// template, options>.
std::string cache_key(const PrepareOptions& options, const Tokenizer& tokenizer);

}  // namespace lathe
