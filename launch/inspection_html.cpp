#include <fmt/format.h>

#include <algorithm>

#include "launch/inspection.h"

namespace lathe {
namespace {

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>lathe inspect</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.1em .8em;text-align:left}td.n{text-align:right}
pre{white-space:pre-wrap;word-break:break-word;border:1px solid #ccc;padding:.6em;line-height:1.7}
.t{background:#b7e4c0}.t:nth-child(even){background:#8fd19e}.u{background:#eee}.u:nth-child(even){background:#ddd}
.bar{background:#4a90c2;height:.9em}.chosen{font-weight:bold}
</style></head><body>
)";

// Also keeps what stands in the data from being read as HTML.
std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\n':
        safe += "\u21b5\n";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string length_rows(const Inspection& view) {
  int64_t most = 1;
  for (const LengthBin& bin : view.lengths) most = std::max(most, bin.documents);
  std::string rows;
  for (const LengthBin& bin : view.lengths) {
    rows += fmt::format(
        "<tr><td class=\"n\">{} - {}</td><td class=\"n\">{}</td><td><div class=\"bar\" "
        "style=\"width:{}px\"></div></td></tr>\n",
        bin.low, bin.high, bin.documents, 400 * bin.documents / most);
  }
  return rows;
}

std::string example_part(const ShownExample& example) {
  std::string part = fmt::format("<h3>Example {}: {} tokens, {} trained (green)</h3>\n<pre>",
                                 example.document, example.tokens, example.targets);
  for (const ShownToken& token : example.shown) {
    part += fmt::format("<span class=\"{}\" title=\"{}\">{}</span>", token.trained ? "t" : "u",
                        token.id, escaped(token.text));
  }
  return part + "</pre>\n";
}

}  // namespace

std::string inspection_html(const std::vector<Inspection>& inspections) {
  std::string page = kHead;
  for (const Inspection& view : inspections) {
    page += fmt::format("<h1>{}</h1>\n<p>{}</p>\n<table>\n", escaped(view.name),
                        escaped(view.shape_reason));
    const auto row = [&](const std::string& name, int64_t value) {
      page += fmt::format("<tr><td>{}</td><td class=\"n\">{}</td></tr>\n", escaped(name), value);
    };
    for (const auto& [name, count] : view.counts) row("records " + name, count);
    row("documents", view.documents);
    row("documents that repeat an earlier one", view.duplicates);
    row("tokens", view.tokens);
    row("trained tokens", view.targets);
    page += "</table>\n";
    for (const std::string& dropped : view.first_dropped)
      page += fmt::format("<p>dropped {}</p>\n", escaped(dropped));
    page += fmt::format(
        "<h2>Lengths in tokens</h2>\n<p>shortest {}, median {}, longest "
        "{}</p>\n<table>\n{}</table>\n",
        view.shortest, view.median, view.longest, length_rows(view));
    page += fmt::format("<h2>Packing into rows of {} tokens</h2>\n<table>\n", view.max_length);
    for (const PackingView& packing : view.packing) {
      page += fmt::format(
          "<tr class=\"{}\"><td>{}</td><td class=\"n\">{} rows</td><td class=\"n\">{:.2f} % "
          "empty</td></tr>\n",
          packing.chosen ? "chosen" : "", escaped(packing.name), packing.rows, 100 * packing.waste);
    }
    page += "</table>\n<h2>Examples</h2>\n";
    for (const ShownExample& example : view.examples) page += example_part(example);
  }
  return page + "</body></html>\n";
}

}  // namespace lathe
