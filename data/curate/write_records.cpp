#include "data/curate/write_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "data/corpus/record_text.h"
#include "data/curate/c4_lines.h"
#include "data/curate/dclm_lines.h"
#include "data/curate/json_text.h"
#include "data/curate/pii.h"
#include "data/curate/repeated_substrings.h"
#include "data/shards/hash.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

constexpr size_t kMostRaw = 1 << 20;  // bytes of an unreadable record that are written out

const char* tier_name(Tier tier) {
  constexpr const char* kNames[] = {"gold", "silver", "synthetic"};
  return kNames[static_cast<size_t>(tier)];
}

void add_text(std::string& out, const char* key, std::string_view value) {
  out += fmt::format("\"{}\": ", key);
  append_json_string(out, value);
  out += ", ";
}

std::string_view trimmed(std::string_view json) {
  while (!json.empty() &&
         (json.back() == ' ' || json.back() == '\n' || json.back() == '\r' || json.back() == '\t'))
    json.remove_suffix(1);
  while (!json.empty() && (json.front() == ' ' || json.front() == '\n' || json.front() == '\r' ||
                           json.front() == '\t'))
    json.remove_prefix(1);
  return json;
}

double pii_spans(const double* signals) {
  static const size_t first = first_signal(filter_named("pii"));
  double count = 0;
  for (size_t k = 0; k < kNumPiiKinds; ++k) count += signals[first + k];
  return count;
}

bool is_document(const RawBlock& raw, const std::string& path) {
  return is_document_name(path) && raw.shape == Shape::kText;
}

// On one line whatever the file's own spelling.
void add_json(std::string& out, std::string_view json) {
  size_t at = out.size();
  out += trimmed(json);
  while ((at = out.find('\n', at)) != out.npos) out[at] = ' ';
}

}  // namespace

std::string decisions_json(const CurateOptions& options, const CurateSource& source) {
  std::string list;
  const auto add = [&](const std::string& name) {
    list += list.empty() ? "" : ", ";
    append_json_string(list, name);
  };
  for (const std::string& name : source.filters)
    add(fmt::format("{}@{}", name, filter_named(name).version));
  if (!options.drop.empty()) add("expression@1");
  if (options.exact) add("exact@1");
  if (options.near)
    add(options.minhash.kind == MinHashKind::k61Bit ? "minhash_compatible@1" : "minhash_fast@1");
  if (options.repeated_sentences > 0) add("sentences@1");
  if (options.repeated_paragraphs > 0) add("paragraphs@1");
  if (options.most_same_answers > 0) add("answers@1");
  if (options.repeated_substrings > 0 || options.cut_substrings) add("substrings@1");
  if (options.pii == PiiAction::kMask) add("mask_pii@1");
  if (options.rewrite == TextRewrite::kC4) add("c4_lines@1");
  if (options.rewrite == TextRewrite::kDclm) add("dclm_lines@1");
  return "[" + list + "]";
}

RecordWriter::RecordWriter(const CurateOptions& options, const Rules& rules,
                           const Decisions& decisions, const Contamination* contamination)
    : options_(options), rules_(rules), decisions_(decisions), contamination_(contamination) {
  for (const CurateSource& source : options.sources) {
    decided_by_.push_back(", \"decisions\": " + decisions_json(options, source));
    std::vector<std::string>& ids = ids_.emplace_back();
    for (const std::string& file : source.files) {
      const std::string name = std::filesystem::path(file).filename().string();
      add_text(ids.emplace_back(), "id", fmt::format("{}/{}:", source.name, name));
      ids.back().resize(ids.back().size() - 3);  // the line follows
    }
    std::string& origin = origins_.emplace_back();
    add_text(origin, "source", source.name);
    if (!source.licence.empty()) add_text(origin, "licence", source.licence);
    origin += fmt::format("\"tier\": \"{}\"", tier_name(source.tier));
    if (!source.generator.empty()) {
      origin += ", ";
      add_text(origin, "generator", source.generator);
      origin += "\"parents\": [";
      for (const std::string& parent : source.parents) {
        if (&parent != &source.parents[0]) origin += ", ";
        append_json_string(origin, parent);
      }
      origin += "]";
    }
  }
}

void RecordWriter::add_origin(std::string& line, const RawBlock& raw, const SignalBlock& block,
                              size_t i, size_t number, bool kept) const {
  line += "\"curated\": {";
  line += ids_[raw.source][raw.file];
  fmt::format_to(std::back_inserter(line), "{}\", \"number\": {}, \"hash\": \"xxh64:{:016x}\", ",
                 block.lines[i], number, block.text_hashes[i]);
  line += origins_[raw.source];
  if (!block.findings[i].language.empty())
    line += fmt::format(", \"language\": \"{}\"", block.findings[i].language);
  if (kept && !options_.mixture.order_by.empty())
    line += fmt::format(
        ", \"order\": {}",
        json_number(block.signals[i * num_signals() + signal_index(options_.mixture.order_by)]));
  if (kept) line += decided_by_[raw.source];
  if (const auto cuts = decisions_.cuts_of(number); !cuts.empty()) {
    line += ", \"cut\": [";
    for (const TextCut& cut : cuts)
      line += fmt::format("{}[{}, {}]", &cut == cuts.data() ? "" : ", ", cut.begin, cut.end);
    line += "]";
  }
  line += "}";
}

bool RecordWriter::changes(const RawBlock& raw, const SignalBlock& block, size_t i,
                           size_t number) const {
  if (!decisions_.cuts_of(number).empty()) return true;
  if (options_.rewrite != TextRewrite::kNone && raw.shape == Shape::kText) return true;
  if (options_.pii == PiiAction::kMask && pii_spans(block.signals.data() + i * num_signals()) > 0)
    return true;
  return is_document(raw, options_.sources[raw.source].files[raw.file]);
}

std::string RecordWriter::changed(const RawBlock& raw, const SignalBlock& block, size_t i,
                                  size_t number, RecordParser& parser, Measurer& measurer) const {
  const double* signals = block.signals.data() + i * num_signals();
  const bool mask = options_.pii == PiiAction::kMask && pii_spans(signals) > 0;
  const bool text_only = raw.shape == Shape::kText;
  const bool rewrite = options_.rewrite != TextRewrite::kNone && text_only;
  const CurateSource& source = options_.sources[raw.source];
  const bool document = is_document(raw, source.files[raw.file]);
  std::string text;
  if (text_only) {
    const Record record = parser.parse(raw.text(i), raw.records[i].line, raw.shape);
    Document read = document_of(record);
    if (const auto cuts = decisions_.cuts_of(number); !cuts.empty())
      read.text = without_cuts(read.text, cuts);
    if (rewrite) {
      Findings unused;
      measurer.split.split(read.text);
      measurer.simple.make(measurer.split);
      const Measured measured = measurer.measured(read, unused);
      read.text = options_.rewrite == TextRewrite::kC4 ? c4_text(measured) : dclm_text(measured);
    }
    text = mask ? mask_pii(read.text) : std::move(read.text);
  }
  if (document) {
    std::string json = "{\"text\": ";
    append_json_string(json, text);
    return json + "}";
  }
  if (!text_only) return change_strings(raw.text(i), "", mask_pii);
  const auto column = source.reading.columns.find("text");
  return change_strings(raw.text(i),
                        column == source.reading.columns.end() ? "text" : column->second,
                        [&](std::string_view) { return text; });
}

void RecordWriter::write_kept(std::string& line, const RawBlock& raw, const SignalBlock& block,
                              size_t i, size_t number, RecordParser& parser,
                              Measurer& measurer) const {
  const double* signals = block.signals.data() + i * num_signals();
  const size_t begin = line.size();
  if (changes(raw, block, i, number)) {
    add_json(line, changed(raw, block, i, number, parser, measurer));
  } else {
    add_json(line, raw.text(i));
  }
  line.pop_back();  // the object's closing bracket
  if (!trimmed(std::string_view(line).substr(begin)).ends_with('{')) line += ", ";
  add_origin(line, raw, block, i, number, true);
  if (options_.pii == PiiAction::kTag && pii_spans(signals) > 0) {
    line += ", \"pii\": {";
    const size_t first = first_signal(filter_named("pii"));
    bool any = false;
    for (size_t k = 0; k < kNumPiiKinds; ++k) {
      if (signals[first + k] == 0) continue;
      line += fmt::format("{}\"{}\": {}", any ? ", " : "", pii_name(static_cast<PiiKind>(k)),
                          signals[first + k]);
      any = true;
    }
    line += "}";
  }
  line += "}\n";
}

void RecordWriter::write_excluded(std::string& line, const RawBlock& raw, const SignalBlock& block,
                                  size_t i, size_t number) const {
  const Reason& reason = rules_.reasons()[decisions_.reasons[number]];
  line += "{";
  add_text(line, "stage", reason.stage);
  add_text(line, "rule", reason.rule);
  if (decisions_.reasons[number] == kUnreadable) {
    std::string raw_text;
    append_lossy(raw.text(i).substr(0, kMostRaw), true, raw_text);
    add_text(line, "message", block.faults[i]);
    add_text(line, "raw", raw_text);
    line += fmt::format("\"raw_bytes\": {}, ", raw.records[i].size);
  } else {
    const Rules::Verdict verdict =
        rules_.decide(raw.source, block.signals.data() + i * num_signals());
    const auto compared = decisions_.values.find(static_cast<uint32_t>(number));
    if (verdict.reason != kKept || compared != decisions_.values.end())
      line += fmt::format("\"value\": {}, \"threshold\": {}, ",
                          json_number(verdict.reason != kKept ? verdict.value : compared->second),
                          json_number(reason.threshold));
    if (decisions_.survivor[number] != number)
      line += fmt::format("\"duplicate_of\": {}, ", decisions_.survivor[number]);
    const Findings& found = block.findings[i];
    if (reason.stage == "contamination" && found.item >= 0 && contamination_) {
      const EvaluationItem& item = contamination_->items()[static_cast<size_t>(found.item)];
      add_text(line, "task", item.task);
      add_text(line, "item", item.id);
      line += fmt::format("\"span\": [{}, {}], ", found.span_begin, found.span_end);
    }
  }
  add_origin(line, raw, block, i, number, false);
  if (decisions_.reasons[number] != kUnreadable) {
    line += ", \"record\": ";
    if (is_document(raw, options_.sources[raw.source].files[raw.file])) {
      append_json_string(line, raw.text(i));
    } else {
      add_json(line, raw.text(i));
    }
  }
  line += "}\n";
}

BlockLines RecordWriter::write(size_t block_number, const RawBlock& raw, const SignalBlock& block,
                               std::vector<std::unique_ptr<Measurer>>& measurers,
                               const std::function<void()>& aside) const {
  constexpr size_t kPiece = 64;
  const size_t count = block.size();
  const size_t pieces = (count + kPiece - 1) / kPiece;
  BlockLines lines{std::vector<std::string>(pieces), std::vector<std::string>(pieces)};
  share_work(
      measurers.size(), pieces,
      [&](size_t thread, size_t p) {
        for (size_t i = p * kPiece; i < std::min(count, (p + 1) * kPiece); ++i) {
          const size_t number = decisions_.first[block_number] + i;
          if (decisions_.reasons[number] == kKept) {
            write_kept(lines.kept[p], raw, block, i, number, *raw.parsers[thread],
                       *measurers[thread]);
          } else {
            write_excluded(lines.excluded[p], raw, block, i, number);
          }
        }
      },
      aside);
  return lines;
}

}  // namespace lathe
