#include "data/tokenize/parts.h"

namespace lathe {
namespace {

AddedTokens added_of(const TokenizerSpec& spec, bool normalized, const Normalizer* normalizer) {
  std::vector<AddedToken> tokens;
  std::vector<std::string> patterns;
  for (const AddedToken& token : spec.added) {
    if (token.normalized != normalized) continue;
    tokens.push_back(token);
    patterns.push_back(normalizer ? (*normalizer)(std::string_view(token.content)) : token.content);
  }
  return AddedTokens(tokens, patterns);
}

bool is_byte_level(const TokenizerSpec& spec) {
  return !spec.pre_tokenizer.empty() &&
         spec.pre_tokenizer.back().kind == PreTokenizerStep::Kind::kByteLevel;
}

void add(int32_t id, size_t begin, size_t end, Encoding& out) {
  out.ids.push_back(id);
  out.begin.push_back(static_cast<uint32_t>(begin));
  out.end.push_back(static_cast<uint32_t>(end));
}

NormalizedText part_of(const NormalizedText& text, size_t begin, size_t end) {
  return {text.text.substr(begin, end - begin),
          {text.origin.begin() + begin, text.origin.begin() + end + 1}};
}

}  // namespace

Tokenizer::Parts::Parts(const TokenizerSpec& spec)
    : vocabulary(spec),
      normalizer(spec.normalizer),
      raw_added(added_of(spec, false, nullptr)),
      normalized_added(added_of(spec, true, &normalizer)),
      normalized_contents(added_of(spec, true, nullptr)),
      pre_tokenizer(spec.pre_tokenizer),
      bpe(spec, is_byte_level(spec)),
      fast_path(FastPath::make(spec, bpe)),
      decoder(spec, vocabulary),
      special_tokens(spec.special_tokens),
      chat_templates(spec.chat_templates),
      hash(hash_of(spec)) {
  bool text_seen = false;
  for (const TemplateStep& step : spec.post_processor) {
    if (step.is_text) text_seen = true;
    std::vector<int32_t>& side = text_seen ? after : before;
    side.insert(side.end(), step.ids.begin(), step.ids.end());
  }
  const auto id_of = [&](const std::optional<std::string>& name) {
    return name ? vocabulary.id_of(*name) : std::nullopt;
  };
  const auto name = [&](const char* role, const std::optional<std::string>& token) {
    if (token) special_tokens.try_emplace(role, *token);
  };
  name("bos_token", spec.bos);
  name("eos_token", spec.eos);
  bos = id_of(spec.bos);
  eos = id_of(spec.eos);
  pad = id_of(spec.pad);
  unk = spec.unk_name ? id_of(spec.unk_name) : spec.unk;
}

void Tokenizer::Parts::add_template(const std::vector<int32_t>& ids, size_t at,
                                    Encoding& out) const {
  for (const int32_t id : ids) add(id, at, at, out);
}

void Tokenizer::Parts::encode(std::string_view text, bool spans, Encoding& out) const {
  if (!fast_path) return encode_plain(text, out);
  raw_added.split(text, [&](size_t begin, size_t end, int32_t id) {
    if (id >= 0) {
      add(id, begin, end, out);
    } else if (!encode_fast(text.substr(begin, end - begin), begin, spans, out)) {
      encode_piece(normalizer(NormalizedText::of(text.substr(begin, end - begin), begin, true)),
                   out);
    }
  });
}

// False: the piece needs the plain path. A token that is matched in the normalized text may stand
// in it only if its content stands in the raw one: the normalizers of the fast path change no more
// than spaces.
bool Tokenizer::Parts::encode_fast(std::string_view text, size_t offset, bool spans,
                                   Encoding& out) const {
  if (normalized_contents.any_in(text)) return false;
  const size_t first = out.ids.size();
  if (!fast_path->encode(text, offset == 0, out.ids)) return false;
  if (!spans) return true;
  out.begin.resize(out.ids.size());
  out.end.resize(out.ids.size());
  uint32_t put_before = fast_path->leading_space(text, offset == 0) ? 1 : 0;
  auto at = static_cast<uint32_t>(offset);
  for (size_t i = first; i < out.ids.size(); ++i) {
    out.begin[i] = at;
    at += fast_path->length_of(out.ids[i]) - put_before;
    put_before = 0;
    out.end[i] = at;
  }
  return true;
}

void Tokenizer::Parts::encode_plain(std::string_view text, Encoding& out) const {
  raw_added.split(text, [&](size_t begin, size_t end, int32_t id) {
    if (id >= 0) {
      add(id, begin, end, out);
    } else {
      encode_piece(normalizer(NormalizedText::of(text.substr(begin, end - begin), begin, true)),
                   out);
    }
  });
}

void Tokenizer::Parts::encode_piece(NormalizedText text, Encoding& out) const {
  if (normalized_added.empty()) {
    const bool at_start = text.origin.front() == 0;
    encode_words(std::move(text), at_start, out);
    return;
  }
  normalized_added.split(text.text, [&](size_t begin, size_t end, int32_t id) {
    if (id >= 0) {
      add(id, text.origin[begin], text.origin[end], out);
    } else {
      encode_words(part_of(text, begin, end), text.origin[begin] == 0, out);
    }
  });
}

void Tokenizer::Parts::encode_words(NormalizedText text, bool at_start, Encoding& out) const {
  const Words words = pre_tokenizer(std::move(text), at_start);
  std::vector<Symbol> symbols;
  for (const Range& word : words.words) {
    symbols.clear();
    bpe.encode(std::string_view(words.text.text).substr(word.begin, word.end - word.begin),
               symbols);
    for (const Symbol& symbol : symbols) {
      add(symbol.id, words.text.origin[word.begin + symbol.begin],
          words.text.origin[word.begin + symbol.end], out);
    }
  }
}

}  // namespace lathe
