#include "data/curate/repeated_substrings.h"

#include <algorithm>

#include "data/curate/equal_windows.h"
#include "data/curate/text_pieces.h"

namespace lathe {
namespace {

constexpr size_t kMemoryPerByte = 10;  // text 1, windows 9
constexpr uint32_t kCarried = UINT32_MAX;

struct Span {
  size_t begin, end;
};

bool is_inside_character(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

bool is_blank(std::string_view text) { return strip(text).empty(); }

// f(piece) for what lies between the spans.
template <class Spans, class F>
void for_each_rest(std::string_view text, const Spans& spans, F&& f) {
  size_t at = 0;
  for (const auto& span : spans) {
    f(text.substr(at, span.begin - at));
    at = span.end;
  }
  f(text.substr(at));
}

class Blocks {
 public:
  Blocks(Decisions& decisions, const SubstringRule& rule)
      : decisions_(decisions),
        rule_(rule),
        most_(std::max<size_t>(static_cast<size_t>(rule.most_bytes) / kMemoryPerByte, 1)) {}

  void add(size_t number, std::string_view text, bool plain) {
    if (!documents_.empty() && text_.size() + text.size() > most_) finish();
    if (documents_.empty()) {
      for (const std::string& carried : carried_) append(kCarried, carried, false);
    }
    append(static_cast<uint32_t>(number), text, plain);
  }

  void finish() {
    windows_ = find_equal_windows(text_, rule_.bytes, rule_.threads);
    first_.assign(static_cast<size_t>(windows_.num_groups) + 1, -1);
    std::vector<std::string> again, idle;  // what goes on to the next block
    for (const Document& document : documents_) {
      if (document.number == kCarried)
        (say(document) ? again : idle).emplace_back(text_of(document));
      else
        decide(document, again);
    }
    carry(again, idle);
    text_.clear();
    documents_.clear();
  }

 private:
  struct Document {
    uint32_t number;
    size_t begin, end;  // of text_
    bool plain;
  };

  void append(uint32_t number, std::string_view text, bool plain) {
    documents_.push_back({number, text_.size(), text_.size() + text.size(), plain});
    text_ += text;
  }

  std::string_view text_of(const Document& document) const {
    return std::string_view(text_).substr(document.begin, document.end - document.begin);
  }

  // f(position, group) for each window of a document that has an equal one.
  template <class F>
  void for_each_window(const Document& document, F&& f) const {
    for (size_t i = document.begin; i + rule_.bytes <= document.end; ++i) {
      if (windows_.groups[i] != 0) f(i, windows_.groups[i]);
    }
  }

  // Counts a carried text as said; whether any of it stands in the block again.
  bool say(const Document& document) {
    bool any = false;
    for_each_window(document, [&](size_t i, int32_t group) {
      if (first_[group] < 0) first_[group] = static_cast<int32_t>(i);
      any = true;
    });
    return any;
  }

  static void cover(std::vector<Span>& spans, size_t begin, size_t end) {
    if (!spans.empty() && begin <= spans.back().end)
      spans.back().end = end;
    else
      spans.push_back({begin, end});
  }

  void decide(const Document& document, std::vector<std::string>& carried) {
    const std::string_view text = text_of(document);
    std::vector<Span> repeated, new_ones;
    std::vector<int32_t> added;
    for_each_window(document, [&](size_t i, int32_t group) {
      const size_t begin = i - document.begin, end = begin + rule_.bytes;
      if (first_[group] < 0) {
        first_[group] = static_cast<int32_t>(i);
        added.push_back(group);
        cover(new_ones, begin, end);
      } else if (static_cast<size_t>(first_[group]) + rule_.bytes <= i) {
        cover(repeated, begin, end);
      }
    });
    at_characters(text, repeated);
    if (goes(document, text, repeated)) {
      for (const int32_t group : added) first_[group] = -1;
      return;
    }
    for (const Span& span : new_ones)
      carried.emplace_back(text.substr(span.begin, span.end - span.begin));
    if (!rule_.cut || !document.plain) return;
    for (const Span& span : repeated)
      decisions_.cuts.push_back(
          {document.number, static_cast<uint32_t>(span.begin), static_cast<uint32_t>(span.end)});
  }

  static void at_characters(std::string_view text, std::vector<Span>& spans) {
    for (Span& span : spans) {
      while (is_inside_character(text, span.begin)) ++span.begin;
      while (is_inside_character(text, span.end)) --span.end;
    }
    std::erase_if(spans, [](const Span& span) { return span.begin >= span.end; });
  }

  bool goes(const Document& document, std::string_view text, const std::vector<Span>& repeated) {
    if (repeated.empty()) return false;
    size_t bytes = 0;
    for (const Span& span : repeated) bytes += span.end - span.begin;
    bool blank = true;
    for_each_rest(text, repeated, [&](std::string_view piece) { blank &= is_blank(piece); });
    const double share = blank ? 1 : static_cast<double>(bytes) / static_cast<double>(text.size());
    if (share < rule_.share) return false;
    decisions_.reasons[document.number] = rule_.reason;
    decisions_.values[document.number] = share;
    return true;
  }

  void carry(std::vector<std::string>& again, std::vector<std::string>& idle) {
    carried_.clear();
    size_t bytes = 0;
    for (auto* list : {&again, &idle}) {
      for (std::string& text : *list) {
        if (bytes + text.size() > most_ / 4) continue;
        bytes += text.size();
        carried_.push_back(std::move(text));
      }
    }
  }

  Decisions& decisions_;
  const SubstringRule& rule_;
  size_t most_;
  std::string text_;
  std::vector<Document> documents_;
  std::vector<std::string> carried_;
  EqualWindows windows_;
  std::vector<int32_t> first_;  // by group: where it was said first, -1: not yet
};

}  // namespace

void drop_repeated_substrings(Decisions& decisions, const ForEachText& for_each_text,
                              const SubstringRule& rule) {
  Blocks blocks(decisions, rule);
  for (const Tier tier : {Tier::kGold, Tier::kSilver, Tier::kSynthetic}) {
    for_each_text(
        tier, [&](size_t document) { return decisions.reasons[document] == kKept; },
        [&](size_t document, std::string_view text, bool plain) {
          blocks.add(document, text, plain);
        });
  }
  blocks.finish();
  std::sort(decisions.cuts.begin(), decisions.cuts.end(), [](const TextCut& a, const TextCut& b) {
    return a.document != b.document ? a.document < b.document : a.begin < b.begin;
  });
}

std::string without_cuts(std::string_view text, std::span<const TextCut> cuts) {
  std::string out;
  for_each_rest(text, cuts, [&](std::string_view piece) {
    const bool joins = !out.empty() && !piece.empty() && strip_right(out).size() == out.size() &&
                       strip_left(piece).size() == piece.size();
    if (joins) out += '\n';
    out += piece;
  });
  return out;
}

}  // namespace lathe
