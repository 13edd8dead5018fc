#include "data/tokenize/spec.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <unordered_map>

namespace lathe {
namespace {

// Added tokens are looked for at every place of a text: their length bounds the time.
constexpr size_t kMaxAddedBytes = 1024;

class Hash {
 public:
  Hash() : state_(XXH64_createState()) { XXH64_reset(state_, 0); }
  ~Hash() { XXH64_freeState(state_); }
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;

  void add(const std::string& text) {
    add(static_cast<int64_t>(text.size()));
    XXH64_update(state_, text.data(), text.size());
  }
  void add(int64_t value) { XXH64_update(state_, &value, sizeof value); }
  template <typename... Values>
  void add_all(const Values&... values) {
    (add(values), ...);
  }
  std::string digits() const {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx",
                  static_cast<unsigned long long>(XXH64_digest(state_)));
    return text;
  }

 private:
  XXH64_state_t* state_;
};

}  // namespace

void check_ids(const std::string& path, TokenizerSpec& spec) {
  const auto refuse = [&](const std::string& what) {
    throw std::invalid_argument(path + ": " + what);
  };
  std::erase_if(spec.added, [](const AddedToken& token) { return token.content.empty(); });
  // Readers keep ids below kMaxTokens, so that a table of them is small.
  std::vector<const std::string*> owners;
  int64_t num_tokens = 0;
  const auto owner = [&](int32_t id) -> const std::string*& {
    if (static_cast<size_t>(id) >= owners.size())
      owners.resize(static_cast<size_t>(id) + 1 + owners.size() / 2);
    return owners[id];
  };
  int64_t highest = -1;
  for (const VocabToken& token : spec.vocab) {
    const std::string*& known = owner(token.id);
    if (known)
      refuse("the id " + std::to_string(token.id) + " belongs to '" + *known + "' and to '" +
             token.token + "'");
    known = &token.token;
    ++num_tokens;
    highest = std::max<int64_t>(highest, token.id);
  }
  std::unordered_map<std::string_view, int32_t> added;
  for (const AddedToken& token : spec.added) added.emplace(token.content, token.id);
  std::unordered_map<std::string_view, int32_t> both;
  for (const VocabToken& token : spec.vocab) {
    if (added.contains(token.token)) both.emplace(token.token, token.id);
  }
  for (const AddedToken& token : spec.added) {
    if (token.content.size() > kMaxAddedBytes) {
      refuse("the added token " + std::to_string(token.id) + " is longer than 1024 bytes");
    }
    const std::string*& known = owner(token.id);
    if (known && *known != token.content) {
      refuse("the id " + std::to_string(token.id) + " belongs to '" + *known +
             "' and to the added token '" + token.content + "'");
    }
    const auto other = both.find(token.content);
    const int32_t id = other == both.end() ? added.at(token.content) : other->second;
    if (id != token.id) {
      refuse("the added token '" + token.content + "' has the ids " + std::to_string(token.id) +
             " and " + std::to_string(id));
    }
    if (!known) ++num_tokens;
    known = &token.content;
    highest = std::max<int64_t>(highest, token.id);
  }
  if (highest > 2 * num_tokens + 65536) {
    refuse("the highest id is " + std::to_string(highest) + ", but there are only " +
           std::to_string(num_tokens) + " tokens");
  }
}

std::string hash_of(const TokenizerSpec& spec) {
  Hash hash;
  hash.add(static_cast<int64_t>(spec.vocab.size()));
  std::vector<const VocabToken*> vocab;
  for (const VocabToken& token : spec.vocab) vocab.push_back(&token);
  std::sort(vocab.begin(), vocab.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  for (const VocabToken* token : vocab) hash.add_all(token->token, token->id);
  hash.add(static_cast<int64_t>(spec.merges.size()));
  for (const Merge& merge : spec.merges)
    hash.add_all(merge.left, merge.right, merge.result, merge.rank);
  hash.add_all(spec.unk.value_or(-1), spec.fuse_unk, spec.byte_fallback, spec.ignore_merges);
  for (const AddedToken& t : spec.added) {
    hash.add_all(t.id, t.content, t.single_word, t.lstrip, t.rstrip, t.normalized, t.special);
  }
  for (const NormalizerStep& s : spec.normalizer) {
    hash.add_all(static_cast<int>(s.kind), s.pattern, s.content, s.left, s.right);
  }
  for (const PreTokenizerStep& s : spec.pre_tokenizer) {
    hash.add_all(static_cast<int>(s.kind), s.pattern, static_cast<int>(s.behavior), s.invert,
                 s.use_regex, static_cast<int>(s.prepend), s.individual_digits, s.split);
  }
  for (const TemplateStep& s : spec.post_processor) {
    hash.add(s.is_text);
    for (const int32_t id : s.ids) hash.add(id);
  }
  for (const DecoderStep& s : spec.decoder) {
    hash.add_all(static_cast<int>(s.kind), s.pattern, s.content, s.start, s.stop, s.prepended);
  }
  return hash.digits();
}

std::optional<int32_t> id_of_token(const TokenizerSpec& spec, std::string_view token) {
  for (const AddedToken& added : spec.added) {
    if (added.content == token) return added.id;
  }
  for (const VocabToken& known : spec.vocab) {
    if (known.token == token) return known.id;
  }
  return std::nullopt;
}

TokenizerSpec read_tokenizer(const std::string& path) {
  namespace fs = std::filesystem;
  if (!fs::exists(path)) throw std::invalid_argument(path + ": is not there");
  if (!fs::is_directory(path))
    return path.ends_with(".model") ? read_sentencepiece(path) : read_tokenizer_json(path);
  const fs::path folder(path);
  TokenizerSpec spec;
  if (fs::exists(folder / "tokenizer.json")) {
    spec = read_tokenizer_json((folder / "tokenizer.json").string());
    read_tokenizer_config(path, spec);
  } else if (fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")) {
    spec = read_vocab_merges(path);
  } else if (fs::exists(folder / "tokenizer.model")) {
    spec = read_sentencepiece((folder / "tokenizer.model").string());
    read_tokenizer_config(path, spec);
  } else {
    throw std::invalid_argument(
        path + ": has no tokenizer.json, vocab.json with merges.txt, or tokenizer.model");
  }
  return spec;
}

}  // namespace lathe
