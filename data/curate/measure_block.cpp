#include "data/curate/measure_block.h"

#include <simdjson.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "data/corpus/bad_record.h"
#include "data/curate/filter.h"
#include "data/curate/occupations.h"
#include "data/curate/spans.h"
#include "data/shards/hash.h"
#include "data/tokenize/tokenizer.h"

namespace lathe {
namespace {

constexpr size_t kMostRecords = 16384;

void add_piece(std::string& text, std::string_view piece) {
  if (piece.empty()) return;
  if (!text.empty()) text += "\n\n";
  text += piece;
}

void add_chat(Document& document, const ChatRecord& record) {
  document.chat = &record.conversation;
  for (const Message& message : record.conversation.messages) {
    add_piece(document.text, message.content);
    if (message.role == "assistant") document.answers.push_back(message.content);
  }
}

void add_pair(Document& document, const PairRecord& record) {
  add_piece(document.text, record.prompt);
  add_piece(document.text, record.completion);
  document.answers.push_back(record.completion);
}

void add_answer(Document& document, const AnswerRecord& answer) {
  if (const auto* pair = std::get_if<PairRecord>(&answer)) add_pair(document, *pair);
  if (const auto* chat = std::get_if<ChatRecord>(&answer)) add_chat(document, *chat);
}

std::string url_of(std::string_view json) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(json);
  simdjson::dom::element record;
  if (parser.parse(padded).get(record) != simdjson::SUCCESS) return "";
  std::string_view url;
  if (record["url"].get(url) == simdjson::SUCCESS) return std::string(url);
  if (record["metadata"]["url"].get(url) == simdjson::SUCCESS) return std::string(url);
  if (record["id"].get(url) == simdjson::SUCCESS && url.find("://") != url.npos)
    return std::string(url);
  return "";
}

struct Column {
  SignalBlock& block;
  const CurateOptions& options;
  size_t bands;
  std::vector<std::vector<uint64_t>>&sentences, &paragraphs, &occupations;  // by record

  void measure(size_t i, const RawBlock& raw, RecordParser& parser, Measurer& m) {
    block.lines[i] = static_cast<uint32_t>(raw.records[i].line);
    block.faults[i] = raw.records[i].fault;
    if (!block.faults[i].empty()) return;
    try {
      Record record = parser.parse(raw.text(i), raw.records[i].line, raw.shape);
      Document document = take_document(record);
      if (!m.resources.urls.empty()) document.url = url_of(raw.text(i));
      fill(i, document, m);
    } catch (const std::invalid_argument& fault) {
      block.faults[i] = fault.what();
    }
  }

  void fill(size_t i, const Document& document, Measurer& m) {
    m.split.split(document.text);
    m.simple.make(m.split);
    measure_all(m.measured(document, block.findings[i]), block.signals.data() + i * num_signals());
    block.bytes[i] = static_cast<uint32_t>(document.text.size());
    if (const Tokenizer* tokenizer = m.resources.tokenizer)
      block.tokens[i] = static_cast<uint32_t>(tokenizer->encode(document.text, false).size());
    block.text_hashes[i] = hash_bytes(document.text);
    block.simple_hashes[i] = hash_bytes(m.simple.text());
    m.bands.clear();
    if (options.near) m.minhash.append_bands(m.simple, m.bands);
    std::copy(m.bands.begin(), m.bands.end(),
              block.bands.begin() + static_cast<ptrdiff_t>(i * bands));
    if (m.resources.occupations) m.resources.occupations->count(m.split, occupations[i]);
    if (options.repeated_sentences > 0) append_sentence_spans(m.split, sentences[i]);
    if (options.repeated_paragraphs > 0)
      append_paragraph_ngrams(m.split, static_cast<size_t>(options.paragraph_ngram), paragraphs[i]);
    if (document.answers.empty()) return;
    std::string answers;
    for (const std::string& answer : document.answers) add_piece(answers, answer);
    m.simple.make(answers);
    if (m.simple.num_words() > 0) block.answer_hashes[i] = hash_bytes(m.simple.text());
  }
};

// All texts at once: a model reads many together.
void score_block(const RawBlock& raw, const CurateOptions& options, SignalBlock& block) {
  const std::vector<std::string> texts =
      texts_of(raw, options.threads, [&](size_t i) { return block.faults[i].empty(); });
  const std::vector<TextLikelihood> likelihoods = options.likelihood.score(texts);
  for (size_t i = 0; i < block.size(); ++i)
    set_likelihood(likelihoods.at(i), block.signals.data() + i * num_signals());
}

HashLists joined(const std::vector<std::vector<uint64_t>>& lists) {
  HashLists all;
  for (const std::vector<uint64_t>& list : lists) {
    all.hashes.insert(all.hashes.end(), list.begin(), list.end());
    all.ends.push_back(static_cast<uint32_t>(all.hashes.size()));
  }
  return all;
}

}  // namespace

Document document_of(const Record& record) {
  Document document;
  if (const auto* text = std::get_if<TextRecord>(&record.content)) document.text = text->text;
  if (const auto* pair = std::get_if<PairRecord>(&record.content)) add_pair(document, *pair);
  if (const auto* chat = std::get_if<ChatRecord>(&record.content)) add_chat(document, *chat);
  if (const auto* both = std::get_if<PreferenceRecord>(&record.content)) {
    add_answer(document, both->chosen);
    Document rejected;
    add_answer(rejected, both->rejected);
    for (std::string& answer : rejected.answers) {
      add_piece(document.text, answer);
      document.answers.push_back(std::move(answer));
    }
  }
  if (const auto* one = std::get_if<UnpairedRecord>(&record.content))
    add_answer(document, one->answer);
  if (const auto* segments = std::get_if<SegmentsRecord>(&record.content)) {
    for (const auto& segment : segments->segments) {
      document.text += segment.text;
      if (segment.trained) document.answers.push_back(segment.text);
    }
  }
  if (std::holds_alternative<TokenRecord>(record.content))
    throw std::invalid_argument(
        "the record holds token ids, which can not be curated; expected text");
  return document;
}

Document take_document(Record& record) {
  auto* text = std::get_if<TextRecord>(&record.content);
  if (!text) return document_of(record);
  Document document;
  document.text = std::move(text->text);
  return document;
}

std::optional<RawBlock> BlockReader::next() {
  while (source_ < options_.sources.size()) {
    const CurateSource& source = options_.sources[source_];
    if (file_ >= source.files.size()) {
      ++source_;
      file_ = 0;
      continue;
    }
    RawBlock block;
    block.source = source_;
    block.file = file_;
    block.begin = block.end = position_;
    try {
      if (!corpus_) {
        Reading reading = source.reading;
        if (position_.offset > 0) reading.shape = shape_;
        corpus_ = std::make_unique<CorpusFile>(source.files[file_], reading, position_);
        parsers_.clear();
        for (int t = 0; t < options_.threads; ++t) parsers_.push_back(corpus_->make_parser());
      }
      while (block.records.size() < kMostRecords &&
             block.bytes.size() < static_cast<size_t>(options_.block_bytes)) {
        RawBlock::Raw raw;
        try {
          const auto text = corpus_->next_text();
          if (!text) break;
          raw = {block.bytes.size(), text->text.size(), text->line, ""};
          block.bytes += text->text;
          block.end = text->end;
        } catch (const BadRecord& bad) {
          raw.line = bad.line;
          raw.fault = bad.what();
          block.end = corpus_->position();
        }
        block.records.push_back(std::move(raw));
      }
    } catch (...) {
      block.failure = std::current_exception();
    }
    if (corpus_) {
      block.shape = shape_ = corpus_->shape();
      block.bytes_done = corpus_->bytes_read();
    }
    block.parsers = parsers_;
    position_ = block.end;
    if (!block.records.empty() || block.failure) return block;
    corpus_.reset();
    position_ = {};
    shape_ = Shape::kAuto;
    ++file_;
  }
  return std::nullopt;
}

void BlockReader::pass(const SignalBlock& block) {
  corpus_.reset();
  source_ = block.source;
  file_ = block.file;
  position_ = block.end;
  shape_ = block.shape;
}

void share_work(size_t threads, size_t count, const std::function<void(size_t, size_t)>& work,
                const std::function<void()>& aside) {
  std::atomic<size_t> next = 0;
  std::mutex guard;
  std::exception_ptr failure;
  const auto loop = [&](size_t thread) {
    try {
      for (size_t i = next++; i < count; i = next++) work(thread, i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(guard);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t t = 1; t < threads; ++t) helpers.emplace_back(loop, t);
    if (aside) aside();
    loop(0);
  }
  if (failure) std::rethrow_exception(failure);
}

std::vector<std::string> texts_of(const RawBlock& raw, int threads,
                                  const std::function<bool(size_t)>& wanted) {
  std::vector<std::string> texts(raw.records.size());
  share_work(static_cast<size_t>(std::max(threads, 1)), texts.size(),
             [&](size_t thread, size_t i) {
               if (!wanted(i)) return;
               Record record =
                   raw.parsers[thread]->parse(raw.text(i), raw.records[i].line, raw.shape);
               texts[i] = take_document(record).text;
             },
             {});
  return texts;
}

SignalBlock measure_block(const RawBlock& raw, const CurateOptions& options,
                          std::vector<std::unique_ptr<Measurer>>& measurers,
                          const std::function<void()>& aside) {
  const size_t count = raw.records.size();
  SignalBlock block;
  block.source = raw.source;
  block.file = raw.file;
  block.begin = raw.begin;
  block.end = raw.end;
  block.shape = raw.shape;
  block.lines.resize(count);
  block.bytes.resize(count);
  block.tokens.resize(count);
  block.signals.resize(count * num_signals());
  block.text_hashes.resize(count);
  block.simple_hashes.resize(count);
  block.answer_hashes.resize(count);
  block.bands.resize(count * static_cast<size_t>(options.minhash.bands));
  block.findings.resize(count);
  block.faults.resize(count);
  std::vector<std::vector<uint64_t>> sentences(count), paragraphs(count), occupations(count);
  Column column{block,     options,    static_cast<size_t>(options.minhash.bands),
                sentences, paragraphs, occupations};
  share_work(
      measurers.size(), count,
      [&](size_t thread, size_t i) {
        column.measure(i, raw, *raw.parsers[thread], *measurers[thread]);
      },
      aside);
  if (options.likelihood.score) score_block(raw, options, block);
  block.sentences = joined(sentences);
  block.paragraphs = joined(paragraphs);
  block.occupations = joined(occupations);
  return block;
}

}  // namespace lathe
