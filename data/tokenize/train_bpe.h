#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/tokenize/word_counts.h"

// Trains a byte-level BPE. The merges are those of BpeTrainer of the `tokenizers` library with the
// same options and the pre-tokenizer ByteLevel(add_prefix_space=False), its way to break ties
// included: the commonest pair first, of equals the one with the lower ids.
namespace lathe {

struct BpeTraining {
  int64_t vocab_size = 30000;               // tokens in all: special ones, alphabet, merges
  int64_t min_frequency = 2;                // a pair that is rarer is not merged
  std::vector<std::string> special_tokens;  // get the first ids
  bool all_bytes =
      true;  // initial_alphabet: every byte, also those that no text holds; else what is seen
  // So many of the commonest characters at most; 0: all. Of equally common ones those with the lower
  // code points stay, where the reference leaves it to chance.
  int64_t limit_alphabet = 0;
};

struct TrainedBpe {
  std::vector<std::string> tokens;  // by id, bytes written as GPT-2's characters
  std::vector<std::pair<int32_t, int32_t>> merges;
  size_t num_special = 0;
};

// Throws std::invalid_argument for options that can not be met.
TrainedBpe train_bpe(const WordCounts& words, const BpeTraining& options);

// A tokenizer.json of it that the `tokenizers` library reads.
std::string tokenizer_json(const TrainedBpe& trained, Splitter::Pattern pattern);

}  // namespace lathe
