#include "data/tokenize/token_view.h"

#include <algorithm>

namespace lathe {

std::vector<std::string> token_texts(const Tokenizer& tokenizer, std::span<const int64_t> ids) {
  StreamDecoder decoder(tokenizer, false);
  std::vector<std::string> texts;
  for (const int64_t id : ids) texts.push_back(decoder.push(static_cast<int32_t>(id)));
  if (!texts.empty()) texts.back() += decoder.finish();
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
