#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Text <-> ids, bit-exact with the reference (the `tokenizers` library reading the same
// tokenizer.json). Immutable and thread-safe once loaded. A part of the file that is not supported
// is refused by name, never ignored.
namespace lathe {

struct Encoding {
  std::vector<int32_t> ids;
  // The bytes of the input that each id stands for, [begin, end); ids that stand for none (added by
  // the template) have begin == end. The spans do not overlap and rise.
  std::vector<uint32_t> begin, end;
};

class Tokenizer {
 public:
  // A Hugging Face folder (tokenizer.json, tokenizer_config.json, special_tokens_map.json), or a
  // tokenizer.json itself. Throws std::invalid_argument naming the file and part.
  explicit Tokenizer(const std::string& folder_or_file);
  ~Tokenizer();

  // add_special_tokens: whether the post-processor's BOS/EOS are put around. Special tokens that
  // stand in the text become their ids, as in the reference.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const;
  Encoding encode_with_offsets(std::string_view text, bool add_special_tokens) const;
  // The same by the plain path alone: slow, and what the others must equal.
  Encoding encode_plainly(std::string_view text, bool add_special_tokens) const;
  std::string decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const;

  int64_t vocab_size() const;  // highest id + 1, added tokens included
  std::optional<int32_t> id_of(std::string_view token) const;
  std::string token_of(int32_t id) const;  // as it stands in the vocabulary
  bool is_special(int32_t id) const;
  std::optional<int32_t> bos() const, eos() const, pad() const,
      unk() const;  // from tokenizer_config.json
  // The chat templates that the folder brings (chat_template.jinja, additional_chat_templates/ or
  // tokenizer_config.json) by name; the usual one is "default".
  const std::map<std::string, std::string>& chat_templates() const;
  // What templates call bos_token, eos_token, ... -> the token's text.
  const std::map<std::string, std::string>& special_tokens() const;
  // xxh64 of everything that decides ids, as 16 hex digits.
  const std::string& hash() const;

 private:
  friend class StreamDecoder;
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

// Turns ids into text piece by piece, never splitting a code point: what can not be shown yet is
// held back. The pieces put together are what decode() says. The tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  ~StreamDecoder();
  std::string push(int32_t id);
  std::string finish();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe
