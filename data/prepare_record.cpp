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
  RenderedChat rendered = format.render(record.conversation, false, mark);
  if (mark) drop_untrained(record.conversation, rendered);
  MaskedIds masked = tokenize_chat(tokenizer, rendered, mark);
  PreparedRecord prepared;
  prepared.ids = std::move(masked.ids);
  prepared.mask = std::move(masked.mask);
  return prepared;
}

// Each segment is tokenised by itself, so that its tokens are those that a prompt of the same text
// has when the model is asked.
PreparedRecord prepare_segments(const SegmentsRecord& record, const PrepareOptions& options,
                                const Tokenizer& tokenizer) {
  PreparedRecord prepared;
  for (const SegmentsRecord::Segment& segment : record.segments) {
    const std::vector<int32_t> ids = tokenizer.encode(segment.text, false);
    prepared.ids.insert(prepared.ids.end(), ids.begin(), ids.end());
    if (options.assistant_only_loss)
      prepared.mask.insert(prepared.mask.end(), ids.size(), segment.trained);
  }
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

void cut_to_length(PreparedRecord& prepared, const PrepareOptions& options) {
  using Fate = PreparedRecord::Fate;
  const auto most = static_cast<size_t>(options.max_length);
  prepared.length = prepared.ids.size();
  const bool too_long = most > 0 && prepared.length > most;
  const bool drops =
      options.on_overlong == OnOverlong::kDrop || options.on_overlong == OnOverlong::kError;
  if (prepared.ids.empty()) prepared.fate = Fate::kEmpty;
  if (too_long && drops) prepared.fate = Fate::kTooLong;
  if (prepared.fate != Fate::kKept) return;
  prepared.cut = too_long;
  const size_t step = too_long ? most : prepared.length;
  const size_t end = options.on_overlong == OnOverlong::kSplit ? prepared.length : step;
  for (size_t begin = 0; begin < end; begin += step) {
    const size_t stop = std::min(begin + step, end);
    if (prepared.targets(begin, stop) > 0) prepared.pieces.emplace_back(begin, stop);
  }
  if (prepared.pieces.empty()) prepared.fate = Fate::kAllMasked;
}

}  // namespace

int64_t PreparedRecord::targets(size_t begin, size_t end) const {
  if (begin == end) return 0;
  if (mask.empty()) return static_cast<int64_t>(end - begin) - 1;
  const auto from = mask.begin() + static_cast<std::ptrdiff_t>(begin);
  return std::count(from + 1, from + static_cast<std::ptrdiff_t>(end - begin), uint8_t{1});
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
  if (const auto* segments = std::get_if<SegmentsRecord>(&record.content))
    prepared = prepare_segments(*segments, options, tokenizer);
  cut_to_length(prepared, options);
  return prepared;
}

}  // namespace lathe
