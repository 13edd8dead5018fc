#include "data/prepare_wave.h"

#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "data/corpus/bad_record.h"
#include "data/corpus/number_field.h"

namespace lathe {
namespace {

constexpr size_t kWaveRecords = 32768, kWaveBytes = 32 << 20;

// Runs aside here and work(thread, 0 .. count-1) on all threads. Nothing may escape work.
void run_parallel(int threads, size_t count, const std::function<void(size_t, size_t)>& work,
                  const std::function<void()>& aside) {
  std::atomic<size_t> next = 0;
  const auto loop = [&](size_t thread) {
    for (size_t i = next++; i < count; i = next++) work(thread, i);
  };
  std::vector<std::jthread> helpers;
  for (int t = 1; t < threads; ++t) helpers.emplace_back(loop, t);
  aside();
  loop(0);
}

}  // namespace

WaveReader::WaveReader(const PrepareOptions& options, size_t file, FilePosition position,
                       Shape shape)
    : options_(options), file_(file), position_(position), shape_(shape) {
  for (size_t f = 0; f < options_.files.size(); ++f) {
    std::error_code absent;  // whoever opens it says so
    const auto bytes = std::filesystem::file_size(options_.files[f], absent);
    if (absent) continue;
    bytes_total_ += static_cast<int64_t>(bytes);
    if (f < file_) bytes_before_ += static_cast<int64_t>(bytes);
  }
  if (position_.offset > 0) open();  // so that what was read before counts as read
}

int64_t WaveReader::bytes_before() const {
  return bytes_before_ + (corpus_ ? corpus_->bytes_read() : 0);
}

void WaveReader::open() {
  Reading reading = options_.reading;
  if (position_.offset > 0) reading.shape = shape_;
  corpus_ = std::make_unique<CorpusFile>(options_.files[file_], reading, position_);
}

void WaveReader::fill(Wave& wave) {
  while (wave.records.size() < kWaveRecords && wave.bytes.size() < kWaveBytes) {
    WaveRecord record;
    try {
      const auto text = corpus_->next_text();
      if (!text) break;
      record.begin = wave.bytes.size();
      record.size = text->text.size();
      record.line = text->line;
      record.end = text->end;
      wave.bytes += text->text;
    } catch (const BadRecord& bad) {
      record.line = bad.line;
      record.end = corpus_->position();
      record.fault = bad.what();
    }
    wave.records.push_back(std::move(record));
  }
}

std::optional<Wave> WaveReader::next() {
  while (file_ < options_.files.size()) {
    Wave wave;
    wave.file = file_;
    try {
      if (!corpus_) open();
      fill(wave);
    } catch (...) {
      wave.failure = std::current_exception();
    }
    if (corpus_) {
      wave.shape = corpus_->shape();
      wave.reason = corpus_->reason();
      for (int t = 0; t < options_.threads; ++t) wave.parsers.push_back(corpus_->make_parser());
    }
    wave.bytes_done = bytes_before();
    if (!wave.records.empty() || wave.failure) return wave;
    bytes_before_ += corpus_->bytes_total();
    corpus_.reset();
    position_ = {};
    ++file_;
  }
  return std::nullopt;
}

void prepare_wave(Wave& wave, const PrepareOptions& options, const Tokenizer& tokenizer,
                  const std::optional<ChatFormat>& format, const std::function<void()>& aside) {
  const auto work = [&](size_t thread, size_t i) {
    WaveRecord& record = wave.records[i];
    if (!record.fault.empty()) return;
    const std::string_view text(wave.bytes.data() + record.begin, record.size);
    try {
      const Record parsed = wave.parsers[thread]->parse(text, record.line, wave.shape);
      try {
        record.prepared = prepare_record(parsed, options, tokenizer, format);
        if (!options.order_by.empty())
          record.prepared.order = static_cast<float>(number_at(text, options.order_by));
      } catch (const std::invalid_argument& fault) {
        record.fault =
            fmt::format("{}:{}: {}", options.files[wave.file], record.line, fault.what());
      }
    } catch (const std::invalid_argument& fault) {
      record.fault = fault.what();
    } catch (...) {
      record.failure = std::current_exception();
    }
  };
  run_parallel(options.threads, wave.records.size(), work, aside);
}

}  // namespace lathe
