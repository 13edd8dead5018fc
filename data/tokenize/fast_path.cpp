#include "data/tokenize/fast_path.h"

#include <algorithm>

#include "data/tokenize/unicode_forms.h"
#include "data/tokenize/vocabulary.h"

namespace lathe {
namespace {

constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581, how a space is written

// To write every U+2581 as a space again, which is one byte.
std::string with_spaces(std::string text) {
  for (size_t at = 0; (at = text.find(kMark, at)) != std::string::npos; ++at)
    text.replace(at, kMark.size(), " ");
  return text;
}

std::string with_marks(std::string_view text) {
  std::string result;
  for (const char c : text) c == ' ' ? void(result += kMark) : result.push_back(c);
  return result;
}

bool is_space_to_mark(const NormalizerStep& step) {
  return step.kind == NormalizerStep::Kind::kReplace && step.pattern == " " &&
         step.content == kMark;
}

}  // namespace

std::optional<FastPath::Shape> FastPath::shape_of(const TokenizerSpec& spec) {
  using NormalizerKind = NormalizerStep::Kind;
  using PreTokenizerKind = PreTokenizerStep::Kind;
  const auto& normalizer = spec.normalizer;
  Shape shape;
  shape.pattern = Splitter::pattern_of(spec.pre_tokenizer);
  if (shape.pattern) {
    shape.nfc = normalizer.size() == 1 && normalizer[0].kind == NormalizerKind::kNfc;
    return normalizer.empty() || shape.nfc ? std::optional(shape) : std::nullopt;
  }
  if (!normalizer.empty() && is_space_to_mark(normalizer.back())) {
    const bool prepends = normalizer.size() == 2 &&
                          normalizer[0].kind == NormalizerKind::kPrepend &&
                          normalizer[0].content == kMark;
    if (normalizer.size() > 1 && !prepends) return std::nullopt;
    shape.prefix = prepends ? Prefix::kAlways : Prefix::kNever;
    // No space is left for Gemma's split at spaces.
    const bool nothing =
        spec.pre_tokenizer.empty() ||
        (spec.pre_tokenizer.size() == 1 && spec.pre_tokenizer[0].kind == PreTokenizerKind::kSplit &&
         spec.pre_tokenizer[0].pattern == " " && !spec.pre_tokenizer[0].invert);
    return nothing ? std::optional(shape) : std::nullopt;
  }
  if (!normalizer.empty() || spec.pre_tokenizer.size() != 1) return std::nullopt;
  const PreTokenizerStep& step = spec.pre_tokenizer[0];
  if (step.kind != PreTokenizerKind::kMetaspace || step.split || step.pattern != kMark)
    return std::nullopt;
  using Prepend = PreTokenizerStep::Prepend;
  shape.prefix = step.prepend == Prepend::kAlways  ? Prefix::kUnlessSpace
                 : step.prepend == Prepend::kFirst ? Prefix::kFirstUnlessSpace
                                                   : Prefix::kNever;
  return shape;
}

std::unique_ptr<FastPath> FastPath::make(const TokenizerSpec& spec, const Bpe& bpe) {
  const std::optional<Shape> shape = shape_of(spec);
  if (!shape || !bpe.lossless()) return nullptr;
  return std::unique_ptr<FastPath>(new FastPath(spec, bpe, *shape));
}

FastPath::FastPath(const TokenizerSpec& spec, const Bpe& bpe, const Shape& shape)
    : bpe_(bpe), shape_(shape) {
  const bool byte_level = shape_.pattern.has_value();
  if (byte_level) splitter_.emplace(*shape_.pattern);
  int32_t highest = 0;
  for (const VocabToken& token : spec.vocab) highest = std::max(highest, token.id);
  lengths_.assign(static_cast<size_t>(highest) + 1, 0);
  words_ = WordTable(spec.vocab.size());
  std::vector<std::string> tokens;
  std::vector<Symbol> symbols;
  for (const VocabToken& token : spec.vocab) {
    const std::optional<std::string> model_bytes =
        byte_level ? bytes_of(token.token) : std::optional(token.token);
    if (!model_bytes || model_bytes->empty()) continue;
    const std::string bytes = byte_level ? *model_bytes : with_spaces(*model_bytes);
    lengths_[token.id] = !byte_level && byte_of_fallback_token(token.token) >= 0
                             ? 1
                             : static_cast<uint32_t>(bytes.size());
    if (!byte_level) tokens.push_back(bytes);
    if (bytes.size() > ShortKey::kMaxBytes) continue;
    symbols.clear();
    // A word that is a token is not always encoded as that token.
    bpe_.encode(*model_bytes, symbols);
    if (symbols.size() == 1 && symbols[0].id == token.id) words_.set(bytes, token.id);
  }
  if (!byte_level) neighbours_.emplace(tokens);
}

bool FastPath::leading_space(std::string_view text, bool at_start) const {
  switch (shape_.prefix) {
    case Prefix::kNever:
      return false;
    case Prefix::kAlways:
      return true;
    case Prefix::kUnlessSpace:
      return !text.starts_with(' ');
    case Prefix::kFirstUnlessSpace:
      return at_start && !text.starts_with(' ');
  }
  return false;
}

bool FastPath::encode(std::string_view text, bool at_start, std::vector<int32_t>& ids) const {
  if (text.empty()) return true;
  if (shape_.nfc && !surely_nfc(text)) return false;
  if (neighbours_ && text.find(kMark) != std::string_view::npos) return false;
  ids.reserve(ids.size() + text.size() / 3 + 16);
  std::unique_ptr<WordCache> cache = take_cache();
  const char* end = text.data() + text.size();
  if (splitter_) {
    for (const char* p = text.data(); p < end;) {
      const char* next = splitter_->word_end(p, end);
      encode_word(p, static_cast<size_t>(next - p), end, *cache, ids);
      p = next;
    }
  } else {
    encode_parts(text, leading_space(text, at_start), *cache, ids);
  }
  give_back(std::move(cache));
  return true;
}

void FastPath::encode_parts(std::string_view text, bool leading_space, WordCache& cache,
                            std::vector<int32_t>& ids) const {
  const char* p = text.data();
  const char* end = p + text.size();
  if (leading_space) {
    // The space that was put there and the part it may join.
    const std::string first = " " + std::string(p, neighbours_->part_end(p, end));
    const char* q = first.data();
    while (q < first.data() + first.size()) {
      const char* next = neighbours_->part_end(q, first.data() + first.size());
      encode_word(q, static_cast<size_t>(next - q), next, cache, ids);
      q = next;
    }
    p += first.size() - 1;
  }
  while (p < end) {
    const char* next = neighbours_->part_end(p, end);
    encode_word(p, static_cast<size_t>(next - p), end, cache, ids);
    p = next;
  }
}

inline void FastPath::encode_word(const char* word, size_t size, const char* readable,
                                  WordCache& cache, std::vector<int32_t>& ids) const {
  if (size <= ShortKey::kMaxBytes) {
    const ShortKey key = ShortKey::of(word, size, readable);
    const int32_t id = words_.find(key, key.hash());
    if (id >= 0) return ids.push_back(id);
  }
  encode_uncommon({word, size}, cache, ids);
}

void FastPath::encode_uncommon(std::string_view word, WordCache& cache,
                               std::vector<int32_t>& ids) const {
  if (word.size() > WordKey::kMaxBytes) return merge(word, ids);
  const WordKey key = WordCache::key_of(word);
  WordCache::Entry& entry = cache.entry(key);
  if (entry.num_ids > 0 && entry.key == key) {
    ids.insert(ids.end(), entry.ids, entry.ids + entry.num_ids);
    return;
  }
  const size_t before = ids.size();
  merge(word, ids);
  const size_t count = ids.size() - before;
  if (count > WordCache::kMaxIds) return;
  entry.key = key;
  entry.num_ids = static_cast<uint32_t>(count);
  std::copy(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), entry.ids);
}

void FastPath::merge(std::string_view word, std::vector<int32_t>& ids) const {
  if (splitter_) {
    bpe_.encode_ids(word, ids);
  } else {
    bpe_.encode_ids(with_marks(word), ids);
  }
}

std::unique_ptr<WordCache> FastPath::take_cache() const {
  const std::lock_guard lock(mutex_);
  if (caches_.empty()) return std::make_unique<WordCache>();
  std::unique_ptr<WordCache> cache = std::move(caches_.back());
  caches_.pop_back();
  return cache;
}

void FastPath::give_back(std::unique_ptr<WordCache> cache) const {
  const std::lock_guard lock(mutex_);
  caches_.push_back(std::move(cache));
}

}  // namespace lathe
