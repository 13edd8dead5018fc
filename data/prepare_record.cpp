#include "data/prepare_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace lathe {
namespace {

PreparedRecord prepare_text(const TextRecord& record, const PrepareOptions& options,
                            const Tokenizer& tokenizer) {
  PreparedRecord prepared;
  if (record.text.empty()) return prepared;
  prepared.ids = tokenizer.encode(record.text, true);
  // A post-processor may have put it there already.
  const auto eos = options.append_eos ? tokenizer.eos() : std::nullopt;
  if (eos && (prepared.ids.empty() || prepared.ids.back() != *eos)) prepared.ids.push_back(*eos);
  return prepared;
}

// The completion begins where the tokens of the prompt and those of the whole part: a token over
// the border is not the prompt's.
PreparedRecord with_completion(const std::vector<int32_t>& prompt, std::vector<int32_t> whole) {
  PreparedRecord prepared;
  prepared.mask.assign(whole.size(), 1);
  for (size_t i = 0; i < whole.size() && i < prompt.size() && whole[i] == prompt[i]; ++i)
    prepared.mask[i] = 0;
  prepared.ids = std::move(whole);
  return prepared;
}

PreparedRecord prepare_pair(const PairRecord& record, const PrepareOptions& options,
                            const Tokenizer& tokenizer) {
  PreparedRecord whole = prepare_text({record.prompt + record.completion}, options, tokenizer);
  if (!options.assistant_only_loss) return whole;
  return with_completion(tokenizer.encode(record.prompt, true), std::move(whole.ids));
}

PreparedRecord prepare_chat_completion(const ChatRecord& record, const Tokenizer& tokenizer,
                                       const ChatFormat& format) {
  Conversation prompt = record.conversation;
  prompt.messages.resize(record.prompt_messages);
  const auto ids = [&](const Conversation& conversation, bool generation_prompt) {
    return tokenizer.encode(format.render(conversation, generation_prompt).text, false);
  };
  return with_completion(ids(prompt, true), ids(record.conversation, false));
}

PreparedRecord prepare_chat(const ChatRecord& record, const PrepareOptions& options,
                            const Tokenizer& tokenizer, const ChatFormat& format) {
  const bool mark = options.assistant_only_loss;
  if (mark && record.prompt_messages > 0) return prepare_chat_completion(record, tokenizer, format);
  const RenderedChat rendered = format.render(record.conversation, false, mark);
  MaskedIds masked = tokenize_chat(tokenizer, rendered, mark);
  PreparedRecord prepared;
  prepared.ids = std::move(masked.ids);
  prepared.mask = std::move(masked.mask);
  return prepared;
}

PreparedRecord prepare_tokens(const TokenRecord& record, const Tokenizer& tokenizer) {
  const int64_t vocab_size = tokenizer.vocab_size();
  for (size_t i = 0; i < record.input_ids.size(); ++i) {
    if (record.input_ids[i] >= 0 && record.input_ids[i] < vocab_size) continue;
    throw std::invalid_argument(
        fmt::format("input_ids[{}]: found {}, expected an id of the tokenizer, 0 to {}", i,
                    record.input_ids[i], vocab_size - 1));
  }
  PreparedRecord prepared;
  prepared.ids = record.input_ids;
  for (const int32_t label : record.labels) prepared.mask.push_back(label != -100);
  return prepared;
}

}  // namespace

int64_t PreparedRecord::targets() const {
  if (ids.empty()) return 0;
  if (mask.empty()) return static_cast<int64_t>(ids.size()) - 1;
  return std::count(mask.begin() + 1, mask.end(), uint8_t{1});
}

PreparedRecord prepare_record(const Record& record, const PrepareOptions& options,
                              const Tokenizer& tokenizer, const std::optional<ChatFormat>& format) {
  PreparedRecord prepared;
  if (const auto* text = std::get_if<TextRecord>(&record.content))
    prepared = prepare_text(*text, options, tokenizer);
  if (const auto* chat = std::get_if<ChatRecord>(&record.content))
    prepared = prepare_chat(*chat, options, tokenizer, format.value());
  if (const auto* pair = std::get_if<PairRecord>(&record.content))
    prepared = prepare_pair(*pair, options, tokenizer);
  if (const auto* tokens = std::get_if<TokenRecord>(&record.content))
    prepared = prepare_tokens(*tokens, tokenizer);
  refuse_double_bos(tokenizer, prepared.ids);
  const auto most = static_cast<size_t>(options.max_length);
  prepared.cut = most > 0 && prepared.ids.size() > most;
  if (prepared.cut) {
    prepared.ids.resize(most);
    if (!prepared.mask.empty()) prepared.mask.resize(most);
  }
  if (prepared.ids.empty()) {
    prepared.fate = PreparedRecord::Fate::kEmpty;
  } else if (prepared.targets() == 0) {
    prepared.fate = PreparedRecord::Fate::kAllMasked;
  }
  return prepared;
}

}  // namespace lathe
