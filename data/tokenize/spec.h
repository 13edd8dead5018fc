#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What a tokenizer is, as plain data: the common form that tokenizer.json, vocab.json + merges.txt
// and SentencePiece models are read into. Readers check it (ids in range and unique, merges
// possible); everything behind relies on that.
namespace lathe {

// Ids lie in [0, kMaxTokens): 15 times the largest vocabulary in use, and small enough to index a
// table by.
constexpr int64_t kMaxTokens = int64_t{1} << 22;

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // only between characters that are not of a word
  bool lstrip = false;       // takes the white space before it too
  bool rstrip = false;       // and behind it
  bool normalized = false;   // looked for in the normalized text
  bool special = false;
};

struct NormalizerStep {
  enum class Kind {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStrip,
    kStripAccents,
    kPrepend,
    kReplace,
    kReplaceRegex
  };
  Kind kind;
  std::string pattern, content;    // Prepend: content; Replace: both
  bool left = true, right = true;  // Strip
};

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct PreTokenizerStep {
  enum class Kind {
    kSplit,
    kSplitRegex,
    kByteLevel,
    kDigits,
    kPunctuation,
    kMetaspace,
    kWhitespace,
    kWhitespaceSplit
  };
  enum class Prepend { kNever, kFirst, kAlways };
  Kind kind = Kind::kSplit;
  std::string pattern;  // Split: what to look for. Metaspace: the replacement
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;
  bool use_regex = false;             // ByteLevel: split by GPT-2's pattern
  Prepend prepend = Prepend::kNever;  // ByteLevel, Metaspace
  bool individual_digits = false;
  bool split = true;  // Metaspace
};

struct DecoderStep {
  enum class Kind { kByteLevel, kByteFallback, kFuse, kReplace, kReplaceRegex, kStrip, kMetaspace };
  Kind kind = Kind::kFuse;
  std::string pattern,
      content;  // Strip: content is one character. Metaspace: pattern is the replacement
  int64_t start = 0, stop = 0;  // Strip: how many at most
  bool prepended = true;        // Metaspace: the first token lost a space that was put there
};

// A piece of the post-processor's template: ids, or the text itself.
struct TemplateStep {
  bool is_text = false;
  std::vector<int32_t> ids;
};

struct Merge {
  int32_t left, right, result;
  uint32_t rank;  // the lowest goes first
};

struct VocabToken {
  std::string token;
  int32_t id;
};

struct TokenizerSpec {
  std::vector<VocabToken> vocab;
  std::vector<Merge> merges;
  std::optional<int32_t> unk;
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<TemplateStep> post_processor;  // empty: the text alone
  std::vector<DecoderStep> decoder;
  bool join_with_spaces = false;  // no decoder: tokens joined with spaces

  std::optional<std::string> bos, eos, pad, unk_name;  // of tokenizer_config.json
  std::vector<std::string> additional_special;
  std::map<std::string, std::string> special_tokens;  // bos_token, eos_token, ... -> text
  std::map<std::string, std::string> chat_templates;
};

// Reads what the path holds: a folder, a tokenizer.json or a SentencePiece .model.
TokenizerSpec read_tokenizer(const std::string& path);

// The parts of read_tokenizer().
TokenizerSpec read_tokenizer_json(const std::string& path);
TokenizerSpec read_vocab_merges(const std::string& folder);
TokenizerSpec read_sentencepiece(const std::string& path);
// Special tokens, chat template and further added tokens of a folder.
void read_tokenizer_config(const std::string& folder, TokenizerSpec& spec);

// Refuses ids that are taken twice or lie far beyond the number of tokens, and added tokens that
// can not be.
void check_ids(const std::string& path, TokenizerSpec& spec);

// The id of a token of the vocabulary or an added one.
std::optional<int32_t> id_of_token(const TokenizerSpec& spec, std::string_view token);

// xxh64 of all that decides ids and texts, as 16 hex digits.
std::string hash_of(const TokenizerSpec& spec);

}  // namespace lathe
