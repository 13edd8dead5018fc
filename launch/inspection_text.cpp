#include <fmt/format.h>

#include <algorithm>

#include "launch/inspection.h"

namespace lathe {
namespace {

constexpr int64_t kBarWidth = 40;

// Control characters must not reach the terminal.
std::string printable(const std::string& text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      shown += "\u21b5\n";
    } else if (c == '\t') {
      shown += "\u2192\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  return shown;
}

std::string coloured(const ShownExample& example) {
  std::string text;
  for (size_t i = 0; i < example.shown.size(); ++i) {
    const ShownToken& token = example.shown[i];
    // Two shades in turn, so that one sees where tokens end.
    const int colour = token.trained ? (i % 2 ? 22 : 28) : (i % 2 ? 236 : 240);
    std::string piece = printable(token.text);
    const bool ends_line = piece.ends_with('\n');
    if (ends_line) piece.pop_back();
    text += fmt::format("\x1b[48;5;{};97m{}\x1b[0m{}", colour, piece, ends_line ? "\n" : "");
  }
  return text;
}

std::string marked(const ShownExample& example) {
  std::string text;
  bool inside = false;
  for (const ShownToken& token : example.shown) {
    if (token.trained != inside) text += token.trained ? "\u00ab" : "\u00bb";
    inside = token.trained;
    text += printable(token.text);
  }
  return inside ? text + "\u00bb" : text;
}

double percent(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::string inspection_text(const Inspection& view, bool colours) {
  std::string text = fmt::format("{}\n", view.name);
  const auto line = [&](const char* name, const std::string& found) {
    text += fmt::format("  {:<11} {}\n", name, found);
  };
  if (!view.shape_reason.empty()) line("shape", view.shape_reason);
  if (!view.counts.empty()) {
    std::string counts;
    for (const auto& [name, count] : view.counts)
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", name, count);
    line("records", counts);
  }
  for (const std::string& dropped : view.first_dropped) line("dropped", dropped);
  line("documents",
       fmt::format("{}, {} of them ({:.2f} %) the same as an earlier one", view.documents,
                   view.duplicates, percent(view.duplicates, view.documents)));
  line("tokens", fmt::format("{}, {} trained ({:.1f} %)", view.tokens, view.targets,
                             percent(view.targets, view.tokens)));
  line("lengths", fmt::format("shortest {}, median {}, longest {} tokens", view.shortest,
                              view.median, view.longest));
  int64_t most = 1;
  for (const LengthBin& bin : view.lengths) most = std::max(most, bin.documents);
  for (const LengthBin& bin : view.lengths) {
    const auto width = static_cast<size_t>((bin.documents * kBarWidth + most - 1) / most);
    text += fmt::format("    {:>6} - {:<6} {:>8} {}\n", bin.low, bin.high, bin.documents,
                        std::string(width, '#'));
  }
  line("packing", fmt::format("rows of {} tokens", view.max_length));
  for (const PackingView& packing : view.packing) {
    text += fmt::format("  {} {:<27} {:>8} rows  {:6.2f} % empty\n", packing.chosen ? "->" : "  ",
                        packing.name, packing.rows, 100 * packing.waste);
  }
  for (const ShownExample& example : view.examples) {
    text += fmt::format("\nexample {}: {} tokens, {} trained ({})\n{}\n", example.document,
                        example.tokens, example.targets,
                        colours ? "green" : "between \u00ab and \u00bb",
                        colours ? coloured(example) : marked(example));
    const auto left = example.tokens - static_cast<int64_t>(example.shown.size());
    if (left > 0) text += fmt::format("... {} more tokens (--tokens)\n", left);
  }
  return text;
}

}  // namespace lathe
