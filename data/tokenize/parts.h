#pragma once

#include "data/tokenize/added_tokens.h"
#include "data/tokenize/bpe.h"
#include "data/tokenize/decoder.h"
#include "data/tokenize/fast_path.h"
#include "data/tokenize/normalizer.h"
#include "data/tokenize/pre_tokenizer.h"
#include "data/tokenize/tokenizer.h"
#include "data/tokenize/vocabulary.h"

namespace lathe {

// What a Tokenizer is made of, in the order in which a text passes: added tokens are cut out, the
// rest is normalized, added tokens that are normalized are cut out, the rest is cut into words, and
// words become tokens.
struct Tokenizer::Parts {
  explicit Parts(const TokenizerSpec& spec);

  // spans: whether out.begin and out.end are wanted too.
  void encode(std::string_view text, bool spans, Encoding& out) const;
  // The plain path alone: what the fast one must equal.
  void encode_plain(std::string_view text, Encoding& out) const;
  void add_template(const std::vector<int32_t>& ids, size_t at, Encoding& out) const;

  Vocabulary vocabulary;
  Normalizer normalizer;
  AddedTokens raw_added, normalized_added;
  AddedTokens
      normalized_contents;  // the same as normalized_added, as they are written in the raw text
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  std::unique_ptr<FastPath> fast_path;  // or null
  Decoder decoder;
  std::vector<int32_t> before, after;  // of the post-processor's template
  std::optional<int32_t> bos, eos, pad, unk;
  std::map<std::string, std::string> special_tokens, chat_templates;
  std::string hash;

 private:
  bool encode_fast(std::string_view text, size_t offset, bool spans, Encoding& out) const;
  void encode_piece(NormalizedText text, Encoding& out) const;
  void encode_words(NormalizedText text, bool at_start, Encoding& out) const;
};

}  // namespace lathe
