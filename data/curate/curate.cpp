#include "data/curate/curate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>

#include "data/curate/check_options.h"
#include "data/curate/curate_keys.h"
#include "data/curate/curate_ranks.h"
#include "data/curate/curate_report.h"
#include "data/curate/decide.h"
#include "data/curate/measure_block.h"
#include "data/curate/occupations.h"
#include "data/curate/write_records.h"
#include "data/shards/file.h"
#include "data/tokenize/tokenizer.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

// Only one process works in a folder; the lock ends with it.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder) {
    fs::create_directories(folder);
    fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
    if (fd_ >= 0) ::close(fd_);
    throw std::invalid_argument(
        folder + ": another curate works in this folder; wait for it or name another");
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

void replace_file(const std::string& path, std::string_view bytes) {
  const std::string temporary = temporary_name(path);
  write_file(temporary, bytes);
  publish(temporary, path);
}

void replace_folder(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  fs::create_directories(from);
  fs::rename(from, to);
}

std::string quality_folder(const std::string& folder) { return folder + "/quality"; }

class Curation {
 public:
  Curation(const CurateOptions& options, std::string folder, CurateKeys keys,
           const Tokenizer* tokenizer, const CurateRanks& ranks, const CurateProgress& progress)
      : options_(options),
        folder_(std::move(folder)),
        keys_(std::move(keys)),
        ranks_(ranks),
        progress_(progress),
        rules_(options) {
    resources_.urls = options.urls;
    resources_.tokenizer = tokenizer;
    if (!options.occupations.empty()) {
      occupations_.emplace(options.occupations);
      resources_.occupations = &*occupations_;
    }
    resources_.languages = options.languages;
    if (!options.unigram.empty()) {
      unigrams_.emplace(options.unigram, options.threads);
      resources_.unigrams = &*unigrams_;
    }
    add_classifiers();
    std::vector<EvaluationItem> items;
    for (const EvaluationSource& evaluation : options.evaluations) {
      for (const std::string& file : evaluation.files) {
        for (EvaluationItem& item : read_evaluation_items(file, evaluation.task, evaluation.keys))
          items.push_back(std::move(item));
      }
    }
    if (!items.empty()) {
      contamination_.emplace(options.contamination, std::move(items));
      resources_.contamination = &*contamination_;
    }
    for (int t = 0; t < std::max(options.threads, 1); ++t)
      measurers_.push_back(std::make_unique<Measurer>(options, resources_));
    fs::create_directories(folder_ + "/signals");
  }

  CurateResult run() {
    ranks_.together([&] { measure(); });
    std::optional<Decisions> decisions;
    ranks_.together([&] {
      decisions = decide_all(options_, rules_, for_each(), for_each_text());
      write(*decisions);
    });
    CurateResult result;
    ranks_.together([&] {
      if (ranks_.rank != 0) return;
      publish();
      result = report(*decisions);
    });
    return result;
  }

 private:
  void add_classifiers() {
    if (!options_.language_model.empty()) {
      language_model_ = std::make_unique<TextClassifier>(options_.language_model);
      resources_.language_model = language_model_.get();
    }
    const QualityOptions& quality = options_.quality_classifier;
    if (quality.empty()) return;
    quality_ = std::make_unique<TextClassifier>(
        quality.trains() ? quality_folder(folder_) + "/model.bin" : quality.model);
    resources_.quality = quality_.get();
    resources_.quality_label = quality.trains() ? QualityOptions().label : quality.label;
    const std::vector<std::string>& labels = quality_->labels();
    if (std::find(labels.begin(), labels.end(), resources_.quality_label) == labels.end())
      throw std::invalid_argument(
          fmt::format("quality_classifier.label: {} has no `{}`; expected one of {}", quality.model,
                      quality.label, fmt::join(labels, ", ")));
  }

  std::string block_path(size_t b) const { return fmt::format("{}/signals/{:06}.sig", folder_, b); }

  ForEachBlock for_each() const {
    return [this](const std::function<void(size_t, const SignalBlock&)>& f) {
      SignalBlock block;
      for (size_t b = 0; b < num_blocks_; ++b) {
        load(b, block);
        f(b, block);
      }
    };
  }

  void load(size_t b, SignalBlock& block) const {
    if (read_signal_block(block_path(b), keys_.signals, block)) return;
    throw std::runtime_error(block_path(b) +
                             ": was damaged since it was written; run the command again");
  }

  // The records that a block was measured of.
  RawBlock read_again(BlockReader& reader, const SignalBlock& block) const {
    std::optional<RawBlock> raw = reader.next();
    if (raw && raw->records.size() == block.size() && raw->end.offset == block.end.offset)
      return std::move(*raw);
    throw std::runtime_error(options_.sources[block.source].files[block.file] +
                             ": changed while it was read; run the command again");
  }

  ForEachText for_each_text() {
    return [this](Tier tier, const auto& wanted, const auto& f) {
      BlockReader reader(options_);
      SignalBlock block;
      size_t document = 0;
      for (size_t b = 0; b < num_blocks_; document += block.size(), ++b) {
        load(b, block);
        if (options_.sources[block.source].tier != tier) {
          reader.pass(block);
          continue;
        }
        const RawBlock raw = read_again(reader, block);
        const std::vector<std::string> texts =
            texts_of(raw, options_.threads, [&](size_t i) { return wanted(document + i); });
        for (size_t i = 0; i < block.size(); ++i) {
          if (wanted(document + i)) f(document + i, texts[i], raw.shape == Shape::kText);
        }
      }
    };
  }

  int64_t total_bytes() const {
    int64_t total = 0;
    for (const CurateSource& source : options_.sources) {
      for (const std::string& file : source.files)
        total += static_cast<int64_t>(fs::file_size(file));
    }
    return total;
  }

  // Bytes of the files before this one.
  int64_t bytes_before(uint32_t source, uint32_t file) const {
    int64_t before = 0;
    for (uint32_t s = 0; s <= source; ++s) {
      const auto& files = options_.sources[s].files;
      for (uint32_t f = 0; f < (s < source ? files.size() : file); ++f)
        before += static_cast<int64_t>(fs::file_size(files[f]));
    }
    return before;
  }

  bool is_mine(size_t block) const {
    return block % static_cast<size_t>(ranks_.size) == static_cast<size_t>(ranks_.rank);
  }

  void measure() {
    BlockReader reader(options_);
    SignalBlock block;
    std::string unsaved;  // the path of the block that is measured and not written yet
    const auto save = [&] {
      if (!unsaved.empty()) write_signal_block(unsaved, keys_.signals, block);
      unsaved.clear();
    };
    for (; read_signal_block(block_path(num_blocks_), keys_.signals, block); ++num_blocks_)
      reader.pass(block);
    const int64_t total = total_bytes();
    std::optional<RawBlock> raw = reader.next();
    while (raw) {
      std::optional<RawBlock> following;
      const bool failed = raw->failure != nullptr;
      const auto between_blocks = [&] {
        save();
        if (!failed) following = reader.next();
      };
      const std::string path = block_path(num_blocks_);
      SignalBlock there;
      if (is_mine(num_blocks_) && !read_signal_block(path, keys_.signals, there)) {
        block = measure_block(*raw, options_, measurers_, between_blocks);
        if (!failed) unsaved = path;
      } else {
        between_blocks();
      }
      if (failed) std::rethrow_exception(raw->failure);
      ++num_blocks_;
      if (progress_)
        progress_("measured", bytes_before(raw->source, raw->file) + raw->bytes_done, total);
      raw = std::move(following);
    }
    save();
    // Of an earlier call with more blocks.
    for (size_t b = num_blocks_; ranks_.rank == 0 && fs::remove(block_path(b)); ++b) {
    }
  }

  std::string work_folder() const { return folder_ + "/writing-" + keys_.output; }

  std::string part_path(const char* kind, size_t b, const SignalBlock& block) const {
    return fmt::format("{}/{}/{}/part-{:06}.jsonl", work_folder(), kind,
                       options_.sources[block.source].name, b);
  }

  struct Unwritten {
    size_t number = 0;
    SignalBlock block;
    RawBlock raw;
  };

  struct Lines {
    size_t number = 0;
    std::string kept_path, excluded_path;
    BlockLines lines;
  };

  // From block b on, which becomes the one behind it. The excluded part is written last: where it
  // is, a block is done.
  std::optional<Unwritten> next_unwritten(BlockReader& reader, size_t& b) const {
    for (SignalBlock block; b < num_blocks_; ++b) {
      load(b, block);
      if (is_mine(b) && !fs::exists(part_path("excluded", b, block))) {
        RawBlock raw = read_again(reader, block);
        return Unwritten{b++, std::move(block), std::move(raw)};
      }
      reader.pass(block);
    }
    return std::nullopt;
  }

  void write(const Decisions& decisions) {
    const RecordWriter writer(options_, rules_, decisions,
                              contamination_ ? &*contamination_ : nullptr);
    BlockReader reader(options_);
    size_t behind = 0;
    std::optional<Unwritten> now = next_unwritten(reader, behind);
    std::optional<Lines> before;  // made and not written yet
    const auto save = [&] {
      if (before) write_parts(*before);
      before.reset();
    };
    while (now) {
      std::optional<Unwritten> following;
      BlockLines lines = writer.write(now->number, now->raw, now->block, measurers_, [&] {
        save();
        following = next_unwritten(reader, behind);
      });
      before = {now->number, part_path("kept", now->number, now->block),
                part_path("excluded", now->number, now->block), std::move(lines)};
      now = std::move(following);
    }
    save();
  }

  void write_parts(const Lines& lines) const {
    write_part(lines.kept_path, lines.lines.kept, false);
    write_part(lines.excluded_path, lines.lines.excluded, true);
    if (progress_)
      progress_("written", static_cast<int64_t>(lines.number + 1),
                static_cast<int64_t>(num_blocks_));
  }

  void publish() {
    gather_examples(work_folder() + "/excluded");
    replace_folder(work_folder() + "/kept", folder_ + "/kept");
    replace_folder(work_folder() + "/excluded", folder_ + "/excluded");
    fs::remove_all(work_folder());
  }

  static void write_part(const std::string& path, std::span<const std::string> lines,
                         bool also_empty) {
    const bool empty =
        std::all_of(lines.begin(), lines.end(), [](const auto& piece) { return piece.empty(); });
    if (empty && !also_empty) return;
    fs::create_directories(fs::path(path).parent_path());
    const std::string temporary = temporary_name(path);
    write_file(temporary, lines);
    fs::rename(temporary, path);
  }

  // The first few of each rule, read back so that an interruption makes no difference. Parts
  // without a line have done their duty.
  void gather_examples(const std::string& excluded) {
    std::vector<std::string> parts;
    if (fs::exists(excluded)) {
      for (const auto& entry : fs::recursive_directory_iterator(excluded)) {
        if (entry.is_regular_file()) parts.push_back(entry.path().string());
      }
    }
    std::sort(parts.begin(), parts.end());
    for (const std::string& path : parts) {
      if (fs::file_size(path) == 0) {
        fs::remove(path);
        continue;
      }
      const std::string lines = read_file(path);
      for (size_t begin = 0; begin < lines.size();) {
        const size_t end = std::min(lines.find('\n', begin), lines.size());
        examples_.add(std::string_view(lines).substr(begin, end - begin));
        begin = end + 1;
      }
    }
  }

  CurateResult report(const Decisions& decisions) {
    CurateReport report = make_report(options_, rules_, decisions, for_each(),
                                      contamination_ ? &*contamination_ : nullptr);
    if (occupations_) report.occupations = count_occupations(*occupations_, decisions, for_each());
    report.examples = examples_.all();
    if (options_.quality_classifier.trains())
      report.quality = read_quality_report(quality_folder(folder_));
    report.key = keys_.output;
    replace_file(folder_ + "/mixture.json", mixture_json(options_.mixture, report.mixture));
    replace_file(folder_ + "/report.html", report_page(report));
    replace_file(folder_ + "/report.json", report_json(report));
    return report.result;
  }

  const CurateOptions& options_;
  std::string folder_;
  CurateKeys keys_;
  const CurateRanks& ranks_;
  const CurateProgress& progress_;
  Rules rules_;
  Resources resources_;
  std::optional<Contamination> contamination_;
  std::optional<Occupations> occupations_;
  std::optional<Unigrams> unigrams_;
  std::unique_ptr<TextClassifier> language_model_, quality_;
  std::vector<std::unique_ptr<Measurer>> measurers_;
  size_t num_blocks_ = 0;
  ExampleCollector examples_;
};

// What the folder's report says, if it was made by the same.
std::optional<CurateResult> made_before(const std::string& folder, const CurateKeys& keys) {
  const std::string report = folder + "/report.json";
  if (!fs::exists(report)) return std::nullopt;
  return read_result(read_file(report), keys.output);
}

// Until the new one is written the folder has no report.
void clear(const std::string& folder, const CurateKeys& keys) {
  fs::remove(folder + "/report.json");
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("writing-") && name != "writing-" + keys.output)
      fs::remove_all(entry.path());
  }
}

}  // namespace

CurateResult curate_together(const CurateOptions& options, const std::string& folder,
                             const CurateRanks& ranks, const CurateProgress& progress) {
  std::optional<Tokenizer> tokenizer;
  std::optional<CurateKeys> keys;
  std::optional<FolderLock> lock;  // the first rank's
  ranks.together([&] {
    check_curate_options(options);
    if (!options.tokenizer.empty()) tokenizer.emplace(options.tokenizer);
    keys = make_keys(options, tokenizer ? tokenizer->hash() : "");
    if (ranks.rank != 0) return;
    lock.emplace(folder);
    if (!made_before(folder, *keys)) clear(folder, *keys);
  });
  std::optional<CurateResult> before = made_before(folder, *keys);
  if (before) {
    before->was_there = true;
    return *before;
  }
  if (options.quality_classifier.trains()) {
    ranks.together([&] {
      if (ranks.rank != 0) return;
      train_quality_classifier(options.quality_classifier, options.threads, keys->quality,
                               quality_folder(folder));
    });
  }
  std::optional<Curation> curation;
  ranks.together([&] {
    curation.emplace(options, folder, *keys, tokenizer ? &*tokenizer : nullptr, ranks, progress);
  });
  const CurateResult result = curation->run();
  return ranks.rank == 0 ? result : made_before(folder, *keys).value();
}

CurateResult curate(const CurateOptions& options, const std::string& folder,
                    const CurateProgress& progress) {
  return curate_together(options, folder, {}, progress);
}

}  // namespace lathe
