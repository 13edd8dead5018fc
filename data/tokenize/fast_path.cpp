#include "data/tokenize/fast_path.h"

#include <algorithm>
#include <cstring>

#include "data/tokenize/unicode.h"
#include "data/tokenize/unicode_forms.h"
#include "data/tokenize/vocabulary.h"

namespace lathe {
namespace {

constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581, how a space is written

// To write every U+2581 as a space again, which is one byte.
std::string with_spaces(std::string_view text) {
  std::string result;
  size_t done = 0;
  for (size_t at; (at = text.find(kMark, done)) != std::string_view::npos;
       done = at + kMark.size()) {
    result.append(text, done, at - done).push_back(' ');
  }
  return result.append(text, done);
}

std::string with_marks(std::string_view text) {
  std::string result;
  for (const char c : text) c == ' ' ? void(result += kMark) : result.push_back(c);
  return result;
}

// The bytes that a token stands for in the raw text; none if it can not come from any.
std::optional<std::string> raw_bytes(const std::string& token, bool byte_level) {
  return byte_level ? bytes_of(token) : std::optional(with_spaces(token));
}

std::vector<std::string> tokens_of(const TokenizerSpec& spec, bool byte_level) {
  std::vector<std::string> tokens;
  for (const VocabToken& token : spec.vocab) {
    if (auto bytes = raw_bytes(token.token, byte_level)) tokens.push_back(std::move(*bytes));
  }
  return tokens;
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
    : bpe_(bpe),
      shape_(shape),
      ignore_merges_(spec.ignore_merges),
      neighbours_(tokens_of(spec, shape.pattern.has_value())) {
  const bool byte_level = shape_.pattern.has_value();
  if (byte_level) splitter_.emplace(*shape_.pattern);
  int32_t highest = 0;
  for (const VocabToken& token : spec.vocab) highest = std::max(highest, token.id);
  lengths_.assign(static_cast<size_t>(highest) + 1, 0);
  words_ = WordTable(spec.vocab.size());
  std::vector<int32_t> ids;
  for (const VocabToken& token : spec.vocab) {
    const std::optional<std::string> model_bytes =
        byte_level ? bytes_of(token.token) : std::optional(token.token);
    if (!model_bytes || model_bytes->empty()) continue;
    const std::string bytes = byte_level ? *model_bytes : with_spaces(*model_bytes);
    lengths_[token.id] = !byte_level && byte_of_fallback_token(token.token) >= 0
                             ? 1
                             : static_cast<uint32_t>(bytes.size());
    // Words are whole characters; some tokens are a part of one.
    if (bytes.size() > ShortKey::kMaxBytes || !is_valid_utf8(bytes)) continue;
    ids.clear();
    // A word that is a token is not always encoded as that token.
    bpe_.encode_ids(*model_bytes, ids);
    if (ids.size() != 1 || ids[0] != token.id) continue;
    words_.set(bytes, token.id);
    common_.push_back(
        {ShortKey::of(bytes.data(), bytes.size(), bytes.data() + bytes.size()), token.id});
  }
  find_characters();
  // Merges were learnt in the order of how often they are wanted, and ids follow them.
  std::ranges::sort(common_, {}, &Common::id);
  common_.resize(std::min(common_.size(), kMostCommon));
  caches_.push_back(new_cache());  // its memory is slow to get: not in a first text
}

std::unique_ptr<WordCache> FastPath::new_cache() const {
  auto cache = std::make_unique<WordCache>();
  for (size_t i = common_.size(); i-- > 0;) {
    const WordCache::Wide word{common_[i].key, 1, {common_[i].id}};
    cache->set_of(word.key.hash()).add(word);
  }
  return cache;
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

// Words on their way. They are looked up a batch at a time: the tables are larger than the nearest
// caches, and so their places are fetched together instead of one after another. A batch is short, so
// that it lies in the nearest cache itself, and longer while much of the text is new and has to be
// merged, of which the more can go on together the less each waits.
class FastPath::Batch {
 public:
  Batch(const FastPath& path, WordCache& cache, std::vector<int32_t>& ids)
      : path_(path), cache_(cache), ids_(ids) {
    choose_size();
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // readable: up to where the text may be read.
  void add(const char* begin, size_t size, const char* readable) {
    end_->begin = begin;
    end_->size = static_cast<uint32_t>(size);
    if (size <= ShortKey::kMaxBytes) [[likely]] {
      const ShortKey key = ShortKey::of(begin, size, readable);
      end_->key = key;
      end_->hash = key.hash();
      __builtin_prefetch(&cache_.set_of(end_->hash));
    }
    next();
  }
  void add_character(uint32_t character) {
    end_->size = 0;
    end_->character = character;
    next();
  }
  void finish();

 private:
  static constexpr size_t kSize = 256, kShort = 64;
  struct Word {
    const char* begin;
    uint32_t size;  // 0: a character
    uint32_t character;
    ShortKey key;
    uint64_t hash;
    const WordCache::Narrow* known;
  };
  void next() {
    if (++end_ == full_) finish();
  }
  void choose_size() { full_ = words_ + (cache_.much_is_new ? kSize : kShort); }
  size_t look_up(Word* from);
  size_t merge_all(Word** words, size_t num_words);
  void keep(Word& word, const int32_t* ids, uint32_t count);
  int32_t* put_from(Word* from, int32_t* out);
  int32_t* put_missing(Word& word, int32_t* out, size_t& num_new);
  int32_t* put_character(uint32_t character, int32_t* out) const;
  int32_t* put_uncommon(Word& word, int32_t* out);
  int32_t* put_rare(std::string_view text, int32_t* out);
  // The cache takes them when the batch is through: until then it is pointed into.
  const WordCache::Narrow* remember(const Word& word, const int32_t* ids, uint32_t num_ids) {
    WordCache::Wide& added = added_[num_added_];
    added.key = word.key;
    added.num_ids = num_ids;
    std::copy(ids, ids + num_ids, added.ids);
    added_hashes_[num_added_++] = word.hash;
    return reinterpret_cast<const WordCache::Narrow*>(&added);
  }

  const FastPath& path_;
  WordCache& cache_;
  std::vector<int32_t>& ids_;
  std::vector<int32_t> merged_;
  size_t num_added_ = 0;
  Word words_[kSize];
  Word* end_ = words_;
  Word* full_;
  WordCache::Wide added_[kSize];
  uint64_t added_hashes_[kSize];
  int32_t buffer_[kSize * (WordCache::Long::kMaxIds + 1)];
};

// What stands in the cache, and the places of what does not fetched together as well. How many had
// to be merged.
size_t FastPath::Batch::look_up(Word* from) {
  Word* missing[kSize];
  size_t num_missing = 0;
  for (Word* word = from; word < end_; ++word) {
    word->known = nullptr;
    if (word->size - 1 >= ShortKey::kMaxBytes) continue;  // a character or long
    const WordCache::Narrow& place = cache_.set_of(word->hash).find(word->key);
    if (place.key == word->key) {
      word->known = &place;
      continue;
    }
    path_.words_.prefetch(word->hash);
    missing[num_missing++] = word;
  }
  size_t num_pieced = 0;
  for (size_t i = 0; i < num_missing; ++i) {
    Word& word = *missing[i];
    const int32_t id = path_.words_.find(word.key, word.hash);
    if (id >= 0) {
      word.known = remember(word, &id, 1);
    } else {
      __builtin_prefetch(&cache_.long_set_of(word.hash));
      missing[num_pieced++] = &word;
    }
  }
  return path_.splitter_ ? merge_all(missing, num_pieced) : 0;
}

// Short words that are not one token: those that the cache does not have either are merged.
size_t FastPath::Batch::merge_all(Word** words, size_t num_words) {
  std::string_view texts[kSize];
  Bpe::ShortIds ids[kSize];
  size_t count = 0;
  for (size_t i = 0; i < num_words; ++i) {
    Word& word = *words[i];
    if (cache_.long_set_of(word.hash).find(word.key.widened()) != nullptr) continue;
    texts[count] = {word.begin, word.size};
    words[count++] = &word;
  }
  path_.bpe_.encode_together({texts, count}, ids);
  for (size_t i = 0; i < count; ++i) keep(*words[i], ids[i].ids, ids[i].count);
  return count;
}

int32_t* FastPath::Batch::put_from(Word* from, int32_t* out) {
  for (Word* word = from; word < end_; ++word) {
    if (word->known != nullptr)
      out += WordCache::copy_ids(*word->known, out);
    else if (word->size == 0)
      out = put_character(word->character, out);
    else
      out = put_uncommon(*word, out);
  }
  return out;
}

// A short word that its line of the cache does not have, when few are such.
int32_t* FastPath::Batch::put_missing(Word& word, int32_t* out, size_t& num_new) {
  word.known = nullptr;
  const int32_t id = path_.words_.find(word.key, word.hash);
  if (id >= 0) {
    remember(word, &id, 1);
    *out = id;
    return out + 1;
  }
  num_new += cache_.long_set_of(word.hash).find(word.key.widened()) == nullptr;
  return put_uncommon(word, out);
}

void FastPath::Batch::finish() {
  int32_t* out = buffer_;
  size_t num_new = 0;
  for (Word* word = words_; word < end_; ++word) {
    if (word->size - 1 < ShortKey::kMaxBytes) [[likely]] {
      const WordCache::Narrow& place = cache_.set_of(word->hash).find(word->key);
      if (place.key != word->key) [[unlikely]] {
        if (cache_.much_is_new) {
          num_new = look_up(word);
          out = put_from(word, out);
          break;
        }
        out = put_missing(*word, out, num_new);
        continue;
      }
      out += WordCache::copy_ids(place, out);
    } else {
      out = word->size == 0 ? put_character(word->character, out) : put_uncommon(*word, out);
    }
  }
  ids_.insert(ids_.end(), buffer_, out);
  for (size_t i = 0; i < num_added_; ++i) cache_.set_of(added_hashes_[i]).add(added_[i]);
  num_added_ = 0;
  end_ = words_;
  cache_.much_is_new = num_new > 0;
  choose_size();
}

// Writes more than counts, which is written over.
int32_t* FastPath::Batch::put_character(uint32_t character, int32_t* out) const {
  const Character& known = path_.characters_[character];
  std::memcpy(out, known.ids, sizeof known.ids);
  return out + known.num_ids;
}

// A word that is not one token, or too long to be looked up as one.
int32_t* FastPath::Batch::put_uncommon(Word& word, int32_t* out) {
  const std::string_view text(word.begin, word.size);
  if (text.size() > WordKey::kMaxBytes) return put_rare(text, out);
  const bool is_short = text.size() <= ShortKey::kMaxBytes;
  const WordKey key = is_short ? word.key.widened() : WordKey::of(text);
  WordCache::LongSet& set = cache_.long_set_of(is_short ? word.hash : key.hash());
  const WordCache::Long* known = set.find(key);
  if (known == nullptr) {
    if (text.size() > WordCache::Long::kMaxIds && cache_.find_rare(text))
      return put_rare(text, out);
    merged_.clear();
    path_.merge(text, merged_);
    if (merged_.size() > WordCache::Long::kMaxIds) return put_rare(text, out);
  }
  const int32_t* ids = known != nullptr ? known->ids : merged_.data();
  const auto count = known != nullptr ? known->num_ids : static_cast<uint32_t>(merged_.size());
  out = std::copy(ids, ids + count, out);
  if (known == nullptr)
    is_short ? keep(word, ids, count) : set.add(key, ids, count);
  else if (is_short && count <= WordCache::kMaxWide)
    remember(word, ids, count);
  return out;
}

// A short word in its line of the cache, and among the others when that is wanted or too small.
void FastPath::Batch::keep(Word& word, const int32_t* ids, uint32_t count) {
  const bool fits = count <= WordCache::kMaxWide;
  if (fits) word.known = remember(word, ids, count);
  if (!fits || !cache_.set_of(word.hash).is_empty())
    cache_.long_set_of(word.hash).add(word.key.widened(), ids, count);
}

// More ids than the buffer has room for.
int32_t* FastPath::Batch::put_rare(std::string_view text, int32_t* out) {
  ids_.insert(ids_.end(), buffer_, out);
  const bool cached = text.size() <= WordCache::kMaxRareBytes;
  const std::vector<int32_t>* ids = cached ? cache_.find_rare(text) : nullptr;
  if (ids == nullptr) {
    merged_.clear();
    path_.merge(text, merged_);
    if (cached) cache_.add_rare(text, merged_);
    ids = &merged_;
  }
  ids_.insert(ids_.end(), ids->begin(), ids->end());
  return buffer_;
}

bool FastPath::encode(std::string_view text, bool at_start, std::vector<int32_t>& ids) const {
  if (text.empty()) return true;
  if (shape_.nfc && !is_nfc(text)) return false;
  if (!splitter_ && text.find(kMark) != std::string_view::npos) return false;
  ids.reserve(ids.size() + text.size() / 3 + 16);
  std::unique_ptr<WordCache> cache = take_cache();
  Batch batch(*this, *cache, ids);
  const char* p = text.data();
  const char* end = p + text.size();
  if (splitter_) {
    splitter_->split(text, [&](const char* word, const char* word_end) {
      const auto size = static_cast<size_t>(word_end - word);
      // Phrases of other scripts are cut; ignore_merges looks at whole words, so there they stay
      // whole.
      if (static_cast<signed char>(word_end[-1]) >= 0 || size <= 6 || ignore_merges_) {
        batch.add(word, size, end);
      } else {
        add_parts(word, word_end, end, batch);
      }
    });
  } else {
    if (leading_space(text, at_start)) {
      // The space that was put there and the part it may join.
      p = neighbours_.part_end(p, end);
      std::string first(1, ' ');
      first.append(text.data(), p);
      add_parts(first.data(), first.data() + first.size(), first.data() + first.size(), batch);
      batch.finish();
    }
    add_parts(p, end, end, batch);
  }
  batch.finish();
  give_back(std::move(cache));
  return true;
}

void FastPath::find_characters() {
  characters_.assign(0x10000, Character{});
  std::vector<Symbol> symbols;
  std::string text;
  for (uint32_t c = 0x80; c < 0x10000; ++c) {
    text.clear();
    symbols.clear();
    append_utf8(c, text);
    bpe_.encode(text, symbols);
    for (const Symbol& symbol : symbols) characters_[c].ids[characters_[c].num_ids++] = symbol.id;
  }
}

inline void FastPath::add_parts(const char* p, const char* end, const char* readable,
                                Batch& batch) const {
  while (p < end) {
    const char* next = neighbours_.part_end(p, end);
    const auto size = static_cast<size_t>(next - p);
    const char* character = p;
    if ((size == 2 || size == 3) && utf8_length(*p) == size) {
      batch.add_character(next_code_point(character));
    } else {
      batch.add(p, size, readable);
    }
    p = next;
  }
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
  if (caches_.empty()) return new_cache();
  std::unique_ptr<WordCache> cache = std::move(caches_.back());
  caches_.pop_back();
  return cache;
}

void FastPath::give_back(std::unique_ptr<WordCache> cache) const {
  const std::lock_guard lock(mutex_);
  caches_.push_back(std::move(cache));
}

}  // namespace lathe
