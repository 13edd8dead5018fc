// lathe capture: a teacher's k likeliest tokens at every trained token of a data set.
#include "recipes/capture.h"

#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/shards/document.h"
#include "recipes/frozen_model.h"
#include "recipes/model_hash.h"
#include "recipes/parts.h"
#include "trainer/agree.h"
#include "trainer/hf_folder.h"
#include "trainer/kernels/head_loss.h"
#include "trainer/objective/soft_targets.h"
#include "trainer/passes.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

int64_t rows_of(const Dataset& dataset, int64_t document) {
  const Dataset::Place place = dataset.place(document);
  const auto begin =
      static_cast<int64_t>(place.shard->offsets()[static_cast<size_t>(place.document)]);
  std::vector<uint8_t> mask(static_cast<size_t>(dataset.length(document)));
  place.shard->read("sequence", begin, begin + std::ssize(mask), nullptr, mask.data());
  return mask.empty() ? 0 : std::count(mask.begin() + 1, mask.end(), uint8_t{1});
}

struct Counts {
  int64_t rows = 0, tokens = 0;
  double mass = 0, seconds = 0;
};

struct Job {
  const RunConfig& config;
  const std::atomic<bool>& stop_requested;
  Mesh& mesh;
  Metrics& metrics;
  Model& teacher;
};

// Makes one shard after another: documents are read by the teacher together, up to so many tokens,
// long ones in stretches.
class ShardMaker {
 public:
  ShardMaker(const Job& job, const Dataset& dataset, const TeacherInfo& info)
      : teacher_(job.teacher),
        dataset_(dataset),
        info_(info),
        passes_(meeting_of(job.config.parallel, job.mesh)),
        writes_(job.mesh.tp().rank() == 0),
        longest_(job.config.data.max_length),
        most_tokens_(job.config.data.max_length * job.config.train.per_device_train_batch_size) {}

  Counts make(const CaptureUnit& unit, const std::string& path) {
    const at::NoGradGuard no_grad;
    // The ranks of tp all come to the same rows.
    std::optional<TeacherWriter> writer;
    if (writes_) writer.emplace(path, info_, unit.first);
    counts_ = {};
    for (int64_t d = unit.first; d < unit.first + unit.count;) {
      std::vector<Document> texts;
      for (int64_t tokens = 0; d < unit.first + unit.count; ++d) {
        const int64_t length = dataset_.length(d);
        if (tokens > 0 && tokens + length > most_tokens_) break;
        texts.push_back(read_document(dataset_, d));
        tokens += length;
      }
      add(texts, writer ? &*writer : nullptr);
    }
    if (writer) writer->finish();
    return counts_;
  }

  // After the last one: other ranks may need this one's part of the weights.
  void finish() {
    passes_.finish([this] {
      const at::NoGradGuard no_grad;
      const std::vector<int64_t> any_token{0};
      read(make_batch({{any_token.data(), nullptr, 1}}), any_token);
    });
  }

 private:
  // Every trained token gets a row, those that begin a stretch from the last token before it.
  void add(const std::vector<Document>& texts, TeacherWriter* writer) {
    std::vector<DocumentView> stretches;
    std::vector<int64_t> chosen, rows;
    int64_t t = 0;
    for (const Document& text : texts) {
      rows.push_back(0);
      const int64_t length = std::ssize(text.ids);
      for (int64_t begin = 0; begin < length; begin += longest_) {
        stretches.push_back({text.ids.data() + begin, nullptr, std::min(longest_, length - begin)});
      }
      for (int64_t i = 0; i < length; ++i, ++t) {
        if (i + 1 == length || text.mask[static_cast<size_t>(i) + 1] == 0) continue;
        chosen.push_back(t);
        ++rows.back();
      }
    }
    counts_.tokens += t;
    if (!chosen.empty()) passes_.announce();
    const TeacherRows all = read(make_batch(stretches), chosen);
    counts_.rows += all.tail_N.numel();
    counts_.mass += (1 - all.tail_N.to(at::kDouble).exp()).sum().item<double>();
    if (writer == nullptr) return;
    const int64_t k = info_.k;
    int64_t at = 0;
    for (const int64_t count : rows) {
      const auto part = [&](const auto* from, int64_t width) {
        return std::span(from + at * width, static_cast<size_t>(count * width));
      };
      writer->add(part(all.ids_NK.const_data_ptr<int64_t>(), k),
                  part(all.logp_NK.const_data_ptr<float>(), k),
                  part(all.tail_N.const_data_ptr<float>(), 1));
      at += count;
    }
  }

  // One pass, where anything is chosen.
  TeacherRows read(const Batch& batch, const std::vector<int64_t>& chosen) {
    std::vector<at::Tensor> ids{at::zeros({0, info_.k}, at::kLong)}, logp{at::zeros({0, info_.k})},
        tail{at::zeros({0})};
    if (!chosen.empty()) {
      const at::Device device = teacher_.parameters().front()->value.device();
      teacher_.keep_head(false);
      const at::Tensor hidden_NH = teacher_.hidden(batch.to(device))
                                       .index_select(0, at::tensor(chosen, at::kLong).to(device));
      teacher_.keep_head(true);
      const int64_t step = loss_chunk_rows(teacher_.config().vocab_size);
      for (int64_t n = 0; n < hidden_NH.size(0); n += step) {
        const at::Tensor rows = hidden_NH.slice(0, n, std::min(n + step, hidden_NH.size(0)));
        const TeacherRows best =
            top_k_of(teacher_.logits(rows).slice(1, 0, info_.vocab_size), info_.k, 1);
        ids.push_back(best.ids_NK.cpu());
        logp.push_back(best.logp_NK.cpu());
        tail.push_back(best.tail_N.cpu());
      }
    }
    return {at::cat(ids), at::cat(logp), at::cat(tail)};
  }

  Model& teacher_;
  const Dataset& dataset_;
  const TeacherInfo& info_;
  Passes passes_;
  bool writes_;
  int64_t longest_, most_tokens_;
  Counts counts_;
};

std::string unit_path(const std::string& folder, size_t unit) {
  return fmt::format("{}/teacher-{:05}.h5", folder, unit);
}

// What an earlier run made of the same. A file of something else is not overwritten.
bool is_made(const std::string& path, const CaptureUnit& unit, const TeacherInfo& info,
             Counts& counts) {
  if (!fs::exists(path)) return false;
  const TeacherShard shard(path);
  if (shard.info() != info || shard.first_document() != unit.first ||
      shard.documents() != unit.count) {
    throw std::invalid_argument(
        path +
        ": was made of another teacher, other data or another k; give another output_dir, or "
        "remove the folder");
  }
  const auto rows = static_cast<int64_t>(shard.offsets().back()), step = int64_t{4096};
  std::vector<int64_t> ids(static_cast<size_t>(step * info.k));
  std::vector<float> logp(ids.size()), tail(static_cast<size_t>(step));
  for (int64_t n = 0; n < rows; n += step) {
    const int64_t end = std::min(n + step, rows);
    shard.read(n, end, ids.data(), logp.data(), tail.data());
    for (int64_t i = 0; i < end - n; ++i) counts.mass += 1 - std::exp(tail[static_cast<size_t>(i)]);
  }
  counts.rows += rows;
  return true;
}

// This rank's shards of a source that are not there yet.
std::vector<size_t> missing_units(const Job& job, const TeacherInfo& info,
                                  const std::vector<CaptureUnit>& units, const std::string& folder,
                                  Counts& counts) {
  std::vector<size_t> missing;
  const auto size = static_cast<size_t>(job.mesh.dp().size());
  for (auto u = static_cast<size_t>(job.mesh.dp().rank()); u < units.size(); u += size) {
    if (!is_made(unit_path(folder, u), units[u], info, counts)) missing.push_back(u);
  }
  return missing;
}

// false: told to stop before the last.
bool make_shards(const Job& job, const Dataset& dataset, const TeacherInfo& info,
                 const std::vector<CaptureUnit>& units, const std::vector<size_t>& missing,
                 const std::string& folder, Counts& counts) {
  const Clock::time_point start = Clock::now();
  ShardMaker maker(job, dataset, info);
  bool stopped = false;
  for (const size_t u : missing) {
    stopped = any(job.mesh.tp(), job.stop_requested);
    if (stopped) break;
    const Counts made = maker.make(units[u], unit_path(folder, u));
    counts.rows += made.rows;
    counts.tokens += made.tokens;
    counts.mass += made.mass;
    counts.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    job.metrics.note(fmt::format("captured shard {}/{}: {} rows, {:.0f} tokens/s on this rank",
                                 u + 1, units.size(), made.rows,
                                 static_cast<double>(counts.tokens) / counts.seconds));
  }
  maker.finish();
  return !stopped;
}

Counts of_all_ranks(const Counts& counts, Mesh& mesh) {
  at::Tensor sums = at::tensor(
      {static_cast<double>(counts.rows), static_cast<double>(counts.tokens), counts.mass},
      at::kDouble);
  at::Tensor longest = at::tensor({counts.seconds}, at::kDouble);
  sums = sums.to(mesh.device());
  longest = longest.to(mesh.device());
  mesh.dp().all_reduce(sums, Reduce::kSum);
  mesh.dp().all_reduce(longest, Reduce::kMax);
  sums = sums.cpu();
  return {.rows = static_cast<int64_t>(sums[0].item<double>()),
          .tokens = static_cast<int64_t>(sums[1].item<double>()),
          .mass = sums[2].item<double>(),
          .seconds = longest.cpu().item<double>()};
}

void publish_set(const Job& job, const TeacherInfo& info, size_t units, const std::string& folder,
                 const Counts& counts) {
  TeacherManifest manifest{.info = info, .shards = {}, .report = {}};
  uint64_t bytes = 0;
  for (size_t u = 0; u < units; ++u) {
    manifest.shards.push_back(entry_of(unit_path(folder, u)));
    bytes += manifest.shards.back().seal.bytes;
  }
  const auto rows = static_cast<double>(std::max<int64_t>(1, counts.rows));
  const double rate = counts.seconds > 0 ? static_cast<double>(counts.tokens) / counts.seconds : 0;
  manifest.report = nlohmann::ordered_json{
      {"teacher", job.config.model.model_name_or_path},
      {"rows", counts.rows},
      {"mass_of_k", counts.mass / rows},
      {"bytes", bytes},
      {"bytes_per_row", static_cast<double>(bytes) / rows},
      {"tokens_read", counts.tokens},
      {"tokens_per_second",
       rate}}.dump();
  write_teacher_manifest(folder, manifest);
  job.metrics.note(
      fmt::format("{}: {} rows of {} tokens hold {:.2f} % of the probability in {:.1f} bytes a "
                  "row; {} tokens read at {:.0f} tokens/s",
                  folder, counts.rows, info.k, 100 * counts.mass / rows,
                  static_cast<double>(bytes) / rows, counts.tokens, rate));
}

// false: stopped.
bool capture_source(const Job& job, const Dataset& dataset, const TeacherInfo& info,
                    const std::string& folder) {
  const std::vector<CaptureUnit> units = plan_capture(dataset, job.config.capture.shard_rows);
  if (job.mesh.world().rank() == 0) fs::create_directories(folder);
  job.mesh.world().barrier();
  Counts counts;
  std::vector<size_t> missing;
  together(job.mesh.world(), [&] { missing = missing_units(job, info, units, folder, counts); });
  bool finished = true;
  const auto work = [&] {
    finished = make_shards(job, dataset, info, units, missing, folder, counts);
  };
  // Ranks that need one another while they work can not go on where one fails.
  const bool alone = job.mesh.tp().size() == 1 && !meeting_of(job.config.parallel, job.mesh);
  if (alone) {
    together(job.mesh.world(), work);
  } else {
    work();
  }
  if (any(job.mesh.world(), !finished)) {
    job.metrics.note("stopped; start again to continue behind the shards that are finished");
    return false;
  }
  const Counts all = of_all_ranks(counts, job.mesh);
  together(job.mesh.world(), [&] {
    if (job.mesh.world().rank() == 0) publish_set(job, info, units.size(), folder, all);
  });
  return true;
}

}  // namespace

std::vector<CaptureUnit> plan_capture(const Dataset& dataset, int64_t rows) {
  std::vector<CaptureUnit> units;
  int64_t in_unit = 0;
  for (int64_t d = 0; d < dataset.documents(); ++d) {
    const int64_t more = rows_of(dataset, d);
    if (units.empty() || (in_unit > 0 && in_unit + more > rows)) {
      units.push_back({d, 0});
      in_unit = 0;
    }
    ++units.back().count;
    in_unit += more;
  }
  return units;
}

std::string capture_folder(const RunConfig& config, size_t source) {
  return config.data.train.size() == 1 ? config.output_dir
                                       : fmt::format("{}/{}", config.output_dir, source);
}

int capture_teacher(RunContext run) {
  const RunConfig& config = run.config;
  Mesh mesh(std::move(run.world), mesh_shape(config.parallel));
  Metrics metrics(mesh.world().rank() == 0 ? config.output_dir : "", run.console);
  const Tokenizer tokenizer(tokenizer_folder(config.model));
  const Datasets train = open_datasets(config, config.data.train, tokenizer, run.cache_dir, mesh,
                                       metrics, &run.stop_requested);
  const FrozenModel teacher = freeze_model(
      open_model(config.model.model_name_or_path, compute_dtype(config.model.dtype, mesh.device()),
                 mesh.device(), tensor_parallel(config.parallel, mesh)),
      config.parallel, mesh);
  const int64_t vocabulary = std::min(tokenizer.vocab_size(), teacher.model->config().vocab_size);
  const std::string hash = broadcast_bytes(
      mesh.world(),
      mesh.world().rank() == 0 ? hash_of_model(config.model.model_name_or_path) : std::string(), 0);
  const Job job{config, run.stop_requested, mesh, metrics, *teacher.model};
  for (size_t i = 0; i < train.size(); ++i) {
    const TeacherInfo info{.teacher_hash = hash,
                           .tokenizer_hash = tokenizer.hash(),
                           .template_hash = train[i]->manifest().template_hash,
                           .dataset_hash = dataset_hash(*train[i]),
                           .vocab_size = vocabulary,
                           .k = std::min(config.capture.top_k, vocabulary)};
    if (!capture_source(job, *train[i], info, capture_folder(config, i))) return 75;
  }
  return 0;
}

}  // namespace lathe
