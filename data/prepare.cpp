#include "data/prepare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>

#include "data/chat/chat_format.h"
#include "data/corpus/record_text.h"
#include "data/corpus/shapes.h"
#include "data/curate/curated_report.h"
#include "data/prepare_folder.h"
#include "data/prepare_wave.h"
#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "data/shards/order_scalar.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMostExamples = 5;
// Raise it when the same input comes to give other tokens: caches are then made anew.
constexpr int kPrepareVersion = 3;

constexpr std::array<std::string_view, 2> kOnBadRecord{"error", "skip"};
constexpr std::array<std::string_view, 4> kOnOverlong{"error", "drop", "truncate", "split"};

template <size_t N>
size_t index_of(std::string_view name, const std::array<std::string_view, N>& names,
                const char* option) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == name) return i;
  }
  throw std::invalid_argument(
      fmt::format("{} is `{}`; expected one of {}", option, name, fmt::join(names, ", ")));
}

// What shaped the tokens, as canonical text: what a shape does not use is left out.
json options_json(const PrepareOptions& options, Shape shape) {
  json object = {{"version", kPrepareVersion},
                 {"shape", shape_name(shape)},
                 {"max_length", options.max_length},
                 {"on_overlong", kOnOverlong[static_cast<size_t>(options.on_overlong)]},
                 {"on_bad_record", kOnBadRecord[static_cast<size_t>(options.on_bad_record)]},
                 {"max_all_masked", options.max_all_masked},
                 {"shard_tokens", options.shard_tokens}};
  if (options.on_bad_record == OnBadRecord::kSkip)
    object["max_bad_records"] = options.max_bad_records;
  if (!options.order_by.empty()) object["order_by"] = options.order_by;
  if (!options.reading.columns.empty()) object["columns"] = options.reading.columns;
  if (!options.reading.tags.empty()) object["tags"] = options.reading.tags;
  // The template itself has its own hash.
  if (is_chat(shape) || shape == Shape::kAuto || shape == Shape::kSegments)
    object["assistant_only_loss"] = options.assistant_only_loss;
  if (options.roles_to_train != PrepareOptions().roles_to_train)
    object["roles_to_train"] = options.roles_to_train;
  const Shape text_shapes[] = {Shape::kText, Shape::kPromptCompletion, Shape::kAuto,
                               Shape::kPreference, Shape::kUnpaired};
  if (std::find(std::begin(text_shapes), std::end(text_shapes), shape) != std::end(text_shapes))
    object["append_eos"] = options.append_eos;
  return object;
}

bool may_be_chat(Shape shape) { return is_chat(shape) || shape == Shape::kAuto; }

// What makes a journal of use: the same files as far as a glance tells, the same options.
std::string journal_key(const PrepareOptions& options, const Tokenizer& tokenizer) {
  Hasher hasher;
  for (const std::string& path : options.files) {
    std::error_code absent;
    const auto bytes = fs::file_size(path, absent);
    const auto time = fs::last_write_time(path, absent).time_since_epoch().count();
    hasher.add(fmt::format("{} {} {}\n", path, bytes, time));
  }
  hasher.add(options_json(options, options.reading.shape).dump());
  hasher.add(tokenizer.hash());
  if (may_be_chat(options.reading.shape))
    hasher.add(ChatFormat::hash(tokenizer, options.chat_template));
  return hex16(hasher.digest());
}

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const Tokenizer& tokenizer, WorkFolder& folder)
      : options_(options), tokenizer_(tokenizer), folder_(folder) {
    if (!folder.found()) return;
    journal_ = *folder.found();
    settle_format();
  }

  PrepareReport run(const PrepareProgress& progress) {
    WaveReader reader(options_, journal_.file, journal_.position, journal_.shape);
    if (progress) progress(reader.bytes_before(), reader.bytes_total(), report().read);
    std::optional<Wave> read = reader.next(), made, written;
    // While a wave is tokenised, this thread writes the one before and reads the one behind.
    while (read) {
      settle_shape(*read);
      made = std::move(read);
      prepare_wave(*made, options_, tokenizer_, format_, [&] {
        if (written) write(*written, progress, reader.bytes_total());
        read = made->failure ? std::nullopt : reader.next();
      });
      written = std::move(made);
    }
    if (written) write(*written, progress, reader.bytes_total());
    check_whole();
    journal_.file = options_.files.size();
    journal_.position = {};
    close_shard();
    DatasetManifest manifest = journal_.manifest;
    json told = json::parse(report_text(report()));
    if (const std::string page = curated_report(options_.files); !page.empty())
      told["curated_report"] = page;
    manifest.report = told.dump();
    folder_.publish(manifest);
    return report();
  }

 private:
  PrepareReport& report() { return journal_.report; }

  void settle_format() {
    if (is_chat(journal_.shape))
      format_.emplace(tokenizer_, options_.chat_template, options_.roles_to_train);
  }

  // All files must have one shape; the first with a record decides.
  void settle_shape(Wave& wave) try {
    if (wave.shape == Shape::kAuto) return;  // no record
    if (journal_.shape == Shape::kAuto) {
      journal_.shape = wave.shape;
      report().shape_reason = wave.reason;
      DatasetManifest& manifest = journal_.manifest;
      manifest.tokenizer_hash = tokenizer_.hash();
      if (is_chat(wave.shape))
        manifest.template_hash = ChatFormat::hash(tokenizer_, options_.chat_template);
      manifest.vocab_size = tokenizer_.vocab_size();
      manifest.options = options_json(options_, wave.shape).dump();
      settle_format();
    }
    if (wave.shape != journal_.shape) {
      throw std::invalid_argument(
          fmt::format("{}: has the shape {}, but {}; prepare files of one shape together",
                      options_.files[wave.file], shape_name(wave.shape), report().shape_reason));
    }
  } catch (...) {
    // In its turn: what was read before may have a fault of its own.
    wave.records.clear();
    wave.failure = std::current_exception();
  }

  void write(Wave& wave, const PrepareProgress& progress, int64_t bytes_total) {
    for (WaveRecord& record : wave.records) {
      if (record.failure) std::rethrow_exception(record.failure);
      ++report().read;
      const std::string place = fmt::format("{}:{}", options_.files[wave.file], record.line);
      const bool kept = record.fault.empty() ? keep(record.prepared, place) : skip(record.fault);
      journal_.file = wave.file;
      journal_.position = record.end;
      if (kept) add(record.prepared);
    }
    if (wave.failure) std::rethrow_exception(wave.failure);
    if (progress) progress(wave.bytes_done, bytes_total, report().read);
  }

  bool drop(int64_t& count, const std::string& why) {
    ++count;
    if (report().first_dropped.size() < kMostExamples) report().first_dropped.push_back(why);
    return false;
  }

  bool skip(const std::string& fault) {
    if (options_.on_bad_record == OnBadRecord::kError) throw std::invalid_argument(fault);
    drop(report().bad, fault);
    if (options_.max_bad_records >= 1) check_bad(options_.max_bad_records);
    return false;
  }

  bool keep(const PreparedRecord& prepared, const std::string& place) {
    if (prepared.cut) {
      ++report().cut;
      if (report().first_cut.size() < kMostExamples) report().first_cut.push_back(place);
    }
    switch (prepared.fate) {
      case PreparedRecord::Fate::kKept:
        ++report().kept;
        return true;
      case PreparedRecord::Fate::kEmpty:
        return drop(report().empty, place + ": no token");
      case PreparedRecord::Fate::kTooLong:
        return drop_long(prepared, place);
      case PreparedRecord::Fate::kAllMasked:
        break;
    }
    return drop(report().all_masked,
                place + (prepared.cut ? ": no token to train on is left after the cut to max_length"
                                      : ": no token to train on"));
  }

  bool drop_long(const PreparedRecord& prepared, const std::string& place) {
    const std::string why = fmt::format("{}: {} tokens, more than max_length {}", place,
                                        prepared.length, options_.max_length);
    if (options_.on_overlong == OnOverlong::kDrop) return drop(report().too_long, why);
    throw std::invalid_argument(
        why + "; raise data.max_length, or set data.on_overlong to drop, truncate or split");
  }

  void add(const PreparedRecord& prepared) {
    const DatasetManifest& manifest = journal_.manifest;
    for (const auto& [begin, end] : prepared.pieces) {
      if (!writer_) {
        ShardColumns columns = shard_columns(journal_.shape);
        if (!options_.order_by.empty()) columns.scalars.emplace_back(kOrderScalar);
        shard_name_ = fmt::format("shard-{:05}.h5", manifest.shards.size());
        writer_.emplace(
            folder_.folder() + "/" + shard_name_,
            ShardInfo{manifest.tokenizer_hash, manifest.template_hash, manifest.vocab_size, 0},
            std::move(columns.columns), std::move(columns.scalars));
      }
      const auto ids = std::span(prepared.ids).subspan(begin, end - begin);
      const std::span<const uint8_t> mask(prepared.mask);
      add_document(prepared, ids, mask.empty() ? mask : mask.subspan(begin, end - begin));
      ++report().documents;
      report().tokens += static_cast<int64_t>(end - begin + prepared.rejected_ids.size());
      report().targets += prepared.targets(begin, end);
      const auto& rejected = prepared.rejected_mask;
      report().targets += std::count(rejected.begin(), rejected.end(), uint8_t{1});
    }
    if (writer_->tokens() >= options_.shard_tokens) close_shard();
  }

  void add_document(const PreparedRecord& prepared, std::span<const int32_t> ids,
                    std::span<const uint8_t> mask) {
    std::vector<std::span<const int32_t>> columns{ids};
    std::vector<std::span<const uint8_t>> masks{mask};
    if (journal_.shape == Shape::kPreference) {
      columns.emplace_back(prepared.rejected_ids);
      masks.emplace_back(prepared.rejected_mask);
    }
    std::vector<float> scalars;
    if (prepared.label) scalars.push_back(*prepared.label ? 1.0F : 0.0F);
    if (prepared.order) scalars.push_back(*prepared.order);
    writer_->add(columns, masks, scalars);
  }

  void close_shard() {
    if (!writer_) return;
    journal_.manifest.shards.push_back(shard_entry(shard_name_, writer_->finish()));
    writer_.reset();
    folder_.save(journal_);
  }

  void check_bad(double most) {
    if (static_cast<double>(report().bad) <= most) return;
    throw std::invalid_argument(fmt::format(
        "prepare: {} of {} records are bad, more than data.max_bad_records {} allows; first: {}",
        report().bad, report().read, options_.max_bad_records, report().first_dropped[0]));
  }

  // What only the end can tell.
  void check_whole() {
    const auto read = static_cast<double>(report().read);
    if (options_.max_bad_records < 1) check_bad(options_.max_bad_records * read);
    const std::string first =
        report().first_dropped.empty() ? "" : "; first: " + report().first_dropped[0];
    if (report().kept == 0) {
      throw std::invalid_argument(
          fmt::format("prepare: no record is left of {} read ({} bad, {} too long, {} empty, {} "
                      "with nothing to "
                      "train on){}",
                      report().read, report().bad, report().too_long, report().empty,
                      report().all_masked, first));
    }
    if (static_cast<double>(report().all_masked) <= options_.max_all_masked * read) return;
    throw std::invalid_argument(fmt::format(
        "prepare: {} of {} records have no token to train on ({:.1f} %), more than "
        "data.max_all_masked {} allows; raise data.max_length where they were cut, look at the "
        "roles "
        "and the chat template, or raise the limit{}",
        report().all_masked, report().read, 100 * static_cast<double>(report().all_masked) / read,
        options_.max_all_masked, first));
  }

  const PrepareOptions& options_;
  const Tokenizer& tokenizer_;
  WorkFolder& folder_;
  PrepareJournal journal_;
  std::optional<ChatFormat> format_;  // made when there are conversations
  std::optional<ShardWriter> writer_;
  std::string shard_name_;
};

}  // namespace

OnBadRecord on_bad_record_named(std::string_view name) {
  return static_cast<OnBadRecord>(index_of(name, kOnBadRecord, "on_bad_record"));
}

OnOverlong on_overlong_named(std::string_view name) {
  return static_cast<OnOverlong>(index_of(name, kOnOverlong, "on_overlong"));
}

PrepareReport prepare(const PrepareOptions& options, const Tokenizer& tokenizer,
                      const std::string& folder, const PrepareProgress& progress) {
  if (options.max_length < 0 || options.shard_tokens < 1 || options.threads < 1) {
    throw std::invalid_argument(fmt::format(
        "prepare: max_length {}, shard_tokens {}, threads {}: expected at least 0, 1, 1",
        options.max_length, options.shard_tokens, options.threads));
  }
  WorkFolder work(folder, journal_key(options, tokenizer));
  try {
    return Preparation(options, tokenizer, work).run(progress);
  } catch (const std::invalid_argument&) {
    work.discard();  // the data have to be mended first, and are others then
    throw;
  }
}

std::string cache_key(const PrepareOptions& options, const Tokenizer& tokenizer) {
  Hasher hasher;
  for (const std::string& path : options.files) {
    const ReadFile file(path);
    hasher.add(hex16(file.hash(0, file.bytes())));
    // The names that decide how a file is read.
    if (is_document_name(path)) hasher.add("document");
    if (const auto separator = csv_separator(path)) hasher.add(std::string_view(&*separator, 1));
  }
  hasher.add(options_json(options, options.reading.shape).dump());
  hasher.add(tokenizer.hash());
  hasher.add(may_be_chat(options.reading.shape) ? ChatFormat::hash(tokenizer, options.chat_template)
                                                : "");
  return hex16(hasher.digest());
}

}  // namespace lathe
