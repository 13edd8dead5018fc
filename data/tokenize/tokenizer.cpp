#include "data/tokenize/tokenizer.h"

#include <stdexcept>

#include "data/tokenize/parts.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

// Offsets are 32 bits wide, and a normalizer may lengthen the text.
constexpr size_t kMaxTextBytes = size_t{1} << 30;

void check_text(std::string_view text) {
  if (text.size() > kMaxTextBytes)
    throw std::invalid_argument("tokenizer: a text of more than 1 GiB; cut it into documents");
  if (!is_valid_utf8(text)) throw std::invalid_argument("tokenizer: the text is not valid UTF-8");
}

}  // namespace

Tokenizer::Tokenizer(const std::string& folder_or_file) {
  try {
    parts_ = std::make_unique<const Parts>(read_tokenizer(folder_or_file));
    if (parts_->fast_path) parts_->fast_path->fetch_tables();
  } catch (const std::invalid_argument& error) {
    const std::string what = error.what();
    throw std::invalid_argument(what.starts_with(folder_or_file) ? what
                                                                 : folder_or_file + ": " + what);
  }
}

Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  check_text(text);
  Encoding encoding;
  if (add_special_tokens) encoding.ids = parts_->before;
  parts_->encode(text, false, encoding);
  if (add_special_tokens)
    encoding.ids.insert(encoding.ids.end(), parts_->after.begin(), parts_->after.end());
  return std::move(encoding.ids);
}

Encoding Tokenizer::encode_with_offsets(std::string_view text, bool add_special_tokens) const {
  check_text(text);
  Encoding encoding;
  if (add_special_tokens) parts_->add_template(parts_->before, 0, encoding);
  parts_->encode(text, true, encoding);
  if (add_special_tokens) parts_->add_template(parts_->after, text.size(), encoding);
  return encoding;
}

Encoding Tokenizer::encode_plainly(std::string_view text, bool add_special_tokens) const {
  check_text(text);
  Encoding encoding;
  if (add_special_tokens) parts_->add_template(parts_->before, 0, encoding);
  parts_->encode_plain(text, encoding);
  if (add_special_tokens) parts_->add_template(parts_->after, text.size(), encoding);
  return encoding;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const {
  std::string text;
  Decoding decoding(parts_->decoder);
  for (const int32_t id : ids) {
    if (!parts_->vocabulary.has(id) || (skip_special_tokens && is_special(id))) continue;
    decoding.push(id, text);
  }
  decoding.finish(text);
  return text;
}

int64_t Tokenizer::vocab_size() const { return parts_->vocabulary.size(); }

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
  return parts_->vocabulary.id_of(token);
}

std::string Tokenizer::token_of(int32_t id) const {
  if (!parts_->vocabulary.has(id))
    throw std::invalid_argument("tokenizer: there is no token with the id " + std::to_string(id));
  return parts_->vocabulary.token(id);
}

bool Tokenizer::is_special(int32_t id) const { return parts_->vocabulary.is_special(id); }
std::optional<int32_t> Tokenizer::bos() const { return parts_->bos; }
std::optional<int32_t> Tokenizer::eos() const { return parts_->eos; }
std::optional<int32_t> Tokenizer::pad() const { return parts_->pad; }
std::optional<int32_t> Tokenizer::unk() const { return parts_->unk; }
const std::map<std::string, std::string>& Tokenizer::chat_templates() const {
  return parts_->chat_templates;
}
const std::map<std::string, std::string>& Tokenizer::special_tokens() const {
  return parts_->special_tokens;
}
const std::string& Tokenizer::hash() const { return parts_->hash; }

struct StreamDecoder::Parts {
  const Vocabulary& vocabulary;
  Decoding decoding;
  bool skip_special;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : parts_(new Parts{tokenizer.parts_->vocabulary, Decoding(tokenizer.parts_->decoder),
                       skip_special_tokens}) {}

StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  std::string text;
  const bool skipped =
      !parts_->vocabulary.has(id) || (parts_->skip_special && parts_->vocabulary.is_special(id));
  if (!skipped) parts_->decoding.push(id, text);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  parts_->decoding.finish(text);
  return text;
}

}  // namespace lathe
