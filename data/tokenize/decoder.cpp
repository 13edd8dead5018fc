#include "data/tokenize/decoder.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "data/tokenize/bpe.h"
#include "data/tokenize/normalizer.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

using Kind = DecoderStep::Kind;

// The steps that look at one token at a time; what follows Fuse sees the whole text.
class TokenSteps {
 public:
  explicit TokenSteps(std::vector<DecoderStep> steps) : steps_(std::move(steps)) {
    for (const DecoderStep& step : steps_) {
      std::vector<NormalizerStep> replace;
      if (step.kind == Kind::kReplace || step.kind == Kind::kMetaspace) {
        const std::string content = step.kind == Kind::kMetaspace ? " " : step.content;
        replace.push_back({NormalizerStep::Kind::kReplace, step.pattern, content});
      }
      if (step.kind == Kind::kReplaceRegex) {
        replace.push_back({NormalizerStep::Kind::kReplaceRegex, step.pattern, step.content});
      }
      replacers_.emplace_back(replace);
    }
  }

  struct Result {
    std::string text;
    bool is_byte = false;
  };
  Result operator()(std::string token, bool first) const {
    for (size_t i = 0; i < steps_.size(); ++i) {
      const DecoderStep& step = steps_[i];
      if (step.kind == Kind::kByteFallback) {
        const int byte = byte_of_fallback_token(token);
        if (byte >= 0) return {std::string(1, static_cast<char>(byte)), true};
      } else if (step.kind == Kind::kByteLevel) {
        token = bytes_of(token).value_or(token);
      } else if (step.kind == Kind::kStrip) {
        token = strip(token, step);
      } else {
        // The first token of a Metaspace text loses all its spaces in the reference, not only the
        // one put there.
        const bool drop = step.kind == Kind::kMetaspace && step.prepended && first;
        token = drop ? without(token, step.pattern) : replacers_[i](std::string_view(token));
      }
    }
    return {std::move(token), false};
  }

 private:
  static std::string without(std::string token, const std::string& pattern) {
    for (size_t at; (at = token.find(pattern)) != std::string::npos;)
      token.erase(at, pattern.size());
    return token;
  }
  static std::string strip(std::string token, const DecoderStep& step) {
    for (int64_t i = 0; i < step.start && token.starts_with(step.content); ++i)
      token.erase(0, step.content.size());
    for (int64_t i = 0; i < step.stop && token.ends_with(step.content); ++i) {
      token.erase(token.size() - step.content.size());
    }
    return token;
  }
  std::vector<DecoderStep> steps_;
  std::vector<Normalizer> replacers_;
};

}  // namespace

Decoder::Decoder(const TokenizerSpec& spec, const Vocabulary& vocabulary)
    : join_with_spaces_(spec.join_with_spaces) {
  const auto is = [](Kind kind) {
    return [kind](const DecoderStep& step) { return step.kind == kind; };
  };
  auto fuse = std::find_if(spec.decoder.begin(), spec.decoder.end(), is(Kind::kFuse));
  byte_level_ = std::any_of(spec.decoder.begin(), fuse, is(Kind::kByteLevel));
  for (auto step = fuse; step != spec.decoder.end(); ++step) {
    if (step->kind == Kind::kFuse) continue;
    if (step->kind != Kind::kStrip || step->stop != 0 || !stripped_.empty()) {
      throw std::invalid_argument("decoder: after Fuse only one Strip at the start is supported");
    }
    stripped_ = step->content;
    strip_count_ = step->start;
  }
  const TokenSteps steps({spec.decoder.begin(), fuse});
  entries_.resize(static_cast<size_t>(vocabulary.size()));
  const auto store = [&](const std::string& text) {
    texts_ += text;
    return static_cast<uint32_t>(texts_.size() - text.size());
  };
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.has(id)) continue;
    const auto middle = steps(vocabulary.token(id), false);
    const auto first = steps(vocabulary.token(id), true);
    const uint32_t at = store(middle.text);
    entries_[id] = {at, first.text == middle.text ? at : store(first.text),
                    static_cast<uint32_t>(middle.text.size()),
                    static_cast<uint32_t>(first.text.size()), middle.is_byte};
  }
}

Decoder::Piece Decoder::piece(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= entries_.size()) return {};
  const Entry& entry = entries_[id];
  const std::string_view texts = texts_;
  return {texts.substr(entry.text, entry.size), texts.substr(entry.first_text, entry.first_size),
          entry.is_byte};
}

void Decoding::say(std::string_view text, std::string& out) {
  const std::string_view strip = decoder_.stripped();
  while (left_to_strip_ > 0 && !text.empty()) {
    if (!text.starts_with(strip)) {
      left_to_strip_ = 0;
      break;
    }
    text.remove_prefix(strip.size());
    --left_to_strip_;
  }
  out += text;
}

void Decoding::end_bytes(std::string& out) {
  if (bytes_.empty()) return;
  if (is_valid_utf8(bytes_)) {
    say(bytes_, out);
  } else {
    for (size_t i = 0; i < bytes_.size(); ++i) say("\xEF\xBF\xBD", out);
  }
  bytes_.clear();
}

void Decoding::push(int32_t id, std::string& out) {
  const Decoder::Piece piece = decoder_.piece(id);
  const bool first = std::exchange(first_, false);
  if (piece.is_byte) {
    bytes_ += piece.text;
  } else if (decoder_.bytes_make_text()) {
    bytes_ += piece.text;
    std::string text;
    const size_t left = append_lossy(bytes_, false, text);
    bytes_.erase(0, bytes_.size() - left);
    say(text, out);
  } else {
    end_bytes(out);
    if (!first && decoder_.join_with_spaces()) out += ' ';
    say(first ? piece.first_text : piece.text, out);
  }
}

void Decoding::finish(std::string& out) {
  if (decoder_.bytes_make_text()) {
    std::string text;
    append_lossy(bytes_, true, text);
    bytes_.clear();
    say(text, out);
  } else {
    end_bytes(out);
  }
}

}  // namespace lathe
