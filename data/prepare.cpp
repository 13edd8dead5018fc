#include "data/prepare.h"

#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "data/corpus/record_text.h"
#include "data/corpus/shapes.h"
#include "data/prepare_record.h"
#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "data/tokenize/chat_format.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kWaveRecords = 8192, kWaveBytes = 32 << 20;
constexpr int kPrepareVersion =
    2;  // raise it when the same input comes to give other tokens: caches are then made anew

// Runs work(0 .. count-1) on the threads; the exception of the lowest index is thrown, whichever
// thread was first.
void run_parallel(int threads, size_t count, const std::function<void(size_t)>& work) {
  std::vector<std::exception_ptr> failures(count);
  std::atomic<size_t> next = 0;
  const auto loop = [&] {
    for (size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  std::vector<std::jthread> helpers;
  for (int t = 1; t < threads; ++t) helpers.emplace_back(loop);
  loop();
  helpers.clear();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

// What shaped the tokens, as canonical text: what a shape does not use is left out.
json options_json(const PrepareOptions& options, Shape shape) {
  json object = {{"version", kPrepareVersion},
                 {"shape", shape_name(shape)},
                 {"max_length", options.max_length},
                 {"shard_tokens", options.shard_tokens}};
  // The template itself has its own hash.
  if (is_chat(shape) || shape == Shape::kAuto)
    object["assistant_only_loss"] = options.assistant_only_loss;
  if (options.roles_to_train != PrepareOptions().roles_to_train)
    object["roles_to_train"] = options.roles_to_train;
  if (shape == Shape::kText || shape == Shape::kPromptCompletion || shape == Shape::kAuto)
    object["append_eos"] = options.append_eos;
  return object;
}

// The finished folder appears under its name in one step; until then it has another, and is removed
// on failure.
class FolderInTheMaking {
 public:
  explicit FolderInTheMaking(std::string path) : path_(std::move(path)) {
    if (fs::exists(path_) && !(fs::is_directory(path_) && fs::is_empty(path_))) {
      throw std::invalid_argument(path_ + ": is there already; remove it or name another folder");
    }
    temporary_ = temporary_name(path_);
    fs::create_directories(temporary_);
  }
  ~FolderInTheMaking() {
    std::error_code ignored;
    if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
  }
  const std::string& temporary() const { return temporary_; }

  void publish(const DatasetManifest& manifest) {
    write_manifest(temporary_, manifest);
    try {
      lathe::publish(temporary_, path_);
    } catch (const std::runtime_error&) {
      // Another process may have prepared the same meanwhile: then its folder is as good as ours.
      if (!fs::exists(path_ + "/dataset.json") ||
          manifest_text(read_manifest(path_)) != manifest_text(manifest))
        throw;
      return;
    }
    temporary_.clear();
  }

 private:
  std::string path_, temporary_;
};

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const Tokenizer& tokenizer, const std::string& folder)
      : options_(options), tokenizer_(tokenizer), folder_(folder) {}

  PrepareReport run(const PrepareProgress& progress) {
    int64_t total = 0, before = 0;
    for (const std::string& file : options_.files)
      total += static_cast<int64_t>(fs::file_size(file));
    for (const std::string& file : options_.files) {
      CorpusFile corpus(file, options_.shape);
      settle_shape(corpus, file);
      while (const int64_t records = take_wave(corpus, file)) {
        report_.read += records;
        if (progress) progress(before + corpus.bytes_read(), total, report_.read);
      }
      before += corpus.bytes_total();
    }
    if (report_.kept == 0) {
      throw std::invalid_argument(fmt::format(
          "prepare: no record is left of {} read ({} empty, {} with nothing to train on){}",
          report_.read, report_.empty, report_.all_masked,
          report_.first_dropped.empty() ? "" : "; first: " + report_.first_dropped[0]));
    }
    close_shard();
    manifest_.report = report_json().dump();
    folder_.publish(manifest_);
    return report_;
  }

 private:
  // All files must have one shape; the first with a record decides.
  void settle_shape(const CorpusFile& corpus, const std::string& file) {
    if (corpus.shape() == Shape::kAuto) return;  // no record
    if (shape_ == Shape::kAuto) {
      shape_ = corpus.shape();
      report_.shape_reason = corpus.reason();
      manifest_.tokenizer_hash = tokenizer_.hash();
      if (is_chat(shape_)) {
        format_.emplace(tokenizer_, options_.chat_template, options_.roles_to_train);
        manifest_.template_hash = ChatFormat::hash(tokenizer_, options_.chat_template);
      }
      manifest_.vocab_size = tokenizer_.vocab_size();
      manifest_.options = options_json(options_, shape_).dump();
    }
    if (corpus.shape() != shape_) {
      throw std::invalid_argument(
          fmt::format("{}: has the shape {}, but {}; prepare files of one shape together", file,
                      shape_name(corpus.shape()), report_.shape_reason));
    }
  }

  // Reads records, tokenises them on all threads, writes them in their order. Returns how many.
  int64_t take_wave(CorpusFile& corpus, const std::string& file) {
    std::vector<Record> records;
    const int64_t start = corpus.text_bytes();
    while (static_cast<int64_t>(records.size()) < kWaveRecords &&
           corpus.text_bytes() - start < kWaveBytes) {
      auto record = corpus.next();
      if (!record) break;
      records.push_back(std::move(*record));
    }
    std::vector<PreparedRecord> prepared(records.size());
    run_parallel(options_.threads, records.size(), [&](size_t i) {
      try {
        prepared[i] = prepare_record(records[i], options_, tokenizer_, format_);
      } catch (const std::invalid_argument& fault) {
        throw std::invalid_argument(fmt::format("{}:{}: {}", file, records[i].line, fault.what()));
      }
    });
    for (size_t i = 0; i < records.size(); ++i) {
      if (keep(prepared[i], fmt::format("{}:{}", file, records[i].line))) write(prepared[i]);
    }
    return static_cast<int64_t>(records.size());
  }

  bool keep(const PreparedRecord& prepared, const std::string& place) {
    report_.cut += prepared.cut;
    const char* why = nullptr;
    switch (prepared.fate) {
      case PreparedRecord::Fate::kKept:
        ++report_.kept;
        return true;
      case PreparedRecord::Fate::kEmpty:
        ++report_.empty;
        why = "no token";
        break;
      case PreparedRecord::Fate::kAllMasked:
        ++report_.all_masked;
        why = prepared.cut ? "no token to train on is left after the cut to max_length"
                           : "no token to train on";
        break;
    }
    if (report_.first_dropped.size() < 5) report_.first_dropped.push_back(place + ": " + why);
    return false;
  }

  void write(const PreparedRecord& prepared) {
    if (!writer_) {
      shard_name_ = fmt::format("shard-{:05}.h5", manifest_.shards.size());
      writer_.emplace(
          folder_.temporary() + "/" + shard_name_,
          ShardInfo{manifest_.tokenizer_hash, manifest_.template_hash, manifest_.vocab_size, 0});
    }
    writer_->add(prepared.ids, prepared.mask);
    report_.tokens += static_cast<int64_t>(prepared.ids.size());
    report_.targets += prepared.targets();
    if (writer_->tokens() >= options_.shard_tokens) close_shard();
  }

  void close_shard() {
    if (!writer_) return;
    manifest_.shards.push_back(shard_entry(shard_name_, writer_->finish()));
    writer_.reset();
  }

  json report_json() const {
    return {{"read", report_.read},
            {"kept", report_.kept},
            {"cut", report_.cut},
            {"all_masked", report_.all_masked},
            {"empty", report_.empty},
            {"tokens", report_.tokens},
            {"targets", report_.targets},
            {"shape_reason", report_.shape_reason},
            {"first_dropped", report_.first_dropped}};
  }

  const PrepareOptions& options_;
  const Tokenizer& tokenizer_;
  FolderInTheMaking folder_;
  Shape shape_ = Shape::kAuto;
  std::optional<ChatFormat> format_;  // made when there are conversations
  DatasetManifest manifest_;
  PrepareReport report_;
  std::optional<ShardWriter> writer_;
  std::string shard_name_;
};

}  // namespace

PrepareReport prepare(const PrepareOptions& options, const Tokenizer& tokenizer,
                      const std::string& folder, const PrepareProgress& progress) {
  if (options.max_length < 0 || options.shard_tokens < 1 || options.threads < 1) {
    throw std::invalid_argument(fmt::format(
        "prepare: max_length {}, shard_tokens {}, threads {}: expected at least 0, 1, 1",
        options.max_length, options.shard_tokens, options.threads));
  }
  return Preparation(options, tokenizer, folder).run(progress);
}

std::string cache_key(const PrepareOptions& options, const Tokenizer& tokenizer) {
  Hasher hasher;
  for (const std::string& path : options.files) {
    const ReadFile file(path);
    hasher.add(hex16(file.hash(0, file.bytes())));
    if (is_document_name(path)) hasher.add("document");  // the one name that decides how it is read
  }
  hasher.add(options_json(options, options.shape).dump());
  hasher.add(tokenizer.hash());
  const bool chats = is_chat(options.shape) || options.shape == Shape::kAuto;
  hasher.add(chats ? ChatFormat::hash(tokenizer, options.chat_template) : "");
  return hex16(hasher.digest());
}

}  // namespace lathe
