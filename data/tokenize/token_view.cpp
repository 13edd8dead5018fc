#include "data/tokenize/token_view.h"

#include <algorithm>

#include "data/tokenize/bpe.h"
#include "data/tokenize/unicode.h"

namespace lathe {

std::vector<std::string> token_texts(const Tokenizer& tokenizer, std::span<const int64_t> ids) {
  StreamDecoder decoder(tokenizer, false);
  std::vector<std::string> texts(ids.size());
  // Single bytes are held back by the decoder until it sees what follows. If it then says them as
  // they are, each goes back to its place.
  std::string held;
  const auto give = [&](size_t i, std::string text) {
    if (text.starts_with(held)) {
      text.erase(0, held.size());
      std::string character;
      for (size_t k = 0; k < held.size(); ++k) {
        character += held[k];
        if (!is_valid_utf8(character)) continue;
        texts[i - held.size() + k] = character;
        character.clear();
      }
    }
    texts[i] += text;
    held.clear();
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<int32_t>(ids[i]);
    std::string text = decoder.push(id);
    const int byte = text.empty() ? byte_of_fallback_token(tokenizer.token_of(id)) : -1;
    if (byte >= 0) {
      held += static_cast<char>(byte);
    } else if (text.empty()) {
      held.clear();
    } else {
      give(i, std::move(text));
    }
  }
  std::string rest = decoder.finish();
  if (!rest.empty() && held.empty()) {
    texts.back() += rest;
  } else if (!rest.empty()) {
    texts.emplace_back();  // as if one more token had let them go
    give(ids.size(), std::move(rest));
    texts[ids.size() - 1] += texts.back();
    texts.pop_back();
  }
  return texts;
}

std::string marked_text(const Tokenizer& tokenizer, std::span<const int64_t> ids,
                        std::span<const uint8_t> mask, const std::string& open,
                        const std::string& close, size_t most) {
  const std::vector<std::string> texts =
      token_texts(tokenizer, ids.first(std::min(most, ids.size())));
  std::string all;
  bool inside = false;
  for (size_t i = 0; i < texts.size(); ++i) {
    const bool trained = mask[i] != 0;
    if (trained != inside) all += trained ? open : close;
    inside = trained;
    for (const char c : texts[i]) {
      if (c == '\n') {
        all += "\\n";
      } else {
        all += c;
      }
    }
  }
  if (inside) all += close;
  return texts.size() < ids.size() ? all + " ..." : all;
}

}  // namespace lathe
