#include "recipes/parts.h"

#include <fmt/core.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>

#include "data/corpus/corpus.h"
#include "data/prepare.h"
#include "recipes/prepare_text.h"
#include "trainer/agree.h"
#include "trainer/hf_folder.h"
#include "trainer/kernels/cpu_features.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

Packing packing_of(const std::string& name) {
  if (name == "false") return Packing::kOff;
  if (name == "wrapped") return Packing::kWrapped;
  return Packing::kBestFit;
}

bool is_dataset_folder(const std::string& path) { return fs::exists(fs::path(path) / "dataset.json"); }

// A line every few seconds, so that a log shows that something moves.
class SlowProgress {
 public:
  SlowProgress(const std::string& path, Metrics& metrics, const std::atomic<bool>* stop)
      : path_(path), metrics_(metrics), stop_(stop) {}

  void operator()(int64_t done, int64_t total, int64_t records) {
    if (stop_ && *stop_ && done < total) throw Stopped("stopped while preparing " + path_);
    const PrepareRate rate = rate_.at(done, total, records);
    if (rate.seconds < said_ + 10) return;
    said_ = rate.seconds;
    metrics_.note(fmt::format("preparing {}: {}", path_, rate.text()));
  }

 private:
  std::string path_;
  Metrics& metrics_;
  const std::atomic<bool>* stop_;
  PrepareClock rate_;
  double said_ = 0;
};

void say_report(const std::string& path, const PrepareReport& report, Metrics& metrics) {
  metrics.note("data: " + report.shape_reason);
  for (const std::string& line : report_lines(path, report)) metrics.note(line);
}

// The dataset folder of a source: itself, or what the cache holds for its files. Rank 0 reads and prepares the files, the
// others wait.
std::string prepared_folder(const RunConfig& config, const DataSource& source, const Tokenizer& tokenizer,
                            const std::string& cache_dir, Mesh& mesh, Metrics& metrics, const std::atomic<bool>* stop) {
  if (is_dataset_folder(source.path)) return source.path;
  std::string folder;
  together(mesh.world(), [&] {
    if (mesh.world().rank() != 0) return;
    const PrepareOptions options = prepare_options(config, source);
    folder = dataset_cache_folder(config, source, tokenizer, cache_dir);
    if (is_dataset_folder(folder)) {
      say_report(source.path, parse_report(read_manifest(folder).report), metrics);
    } else {
      say_report(source.path, prepare(options, tokenizer, folder, SlowProgress(source.path, metrics, stop)), metrics);
    }
  });
  return broadcast_bytes(mesh.world(), folder, 0);
}

}  // namespace

MeshShape mesh_shape(const ParallelSection& config) {
  MeshShape shape{
      .dp = 0, .tp = static_cast<int>(config.tp), .overlap = config.overlap == "true" && config.zero >= 2};
  if (config.dp == "auto") return shape;
  try {
    size_t used = 0;
    shape.dp = std::stoi(config.dp, &used);
    if (used == config.dp.size() && shape.dp > 0) return shape;
  } catch (const std::exception&) {
  }
  throw std::invalid_argument(fmt::format("parallel.dp is `{}`; expected auto or a number of ranks", config.dp));
}

at::ScalarType compute_dtype(const std::string& dtype, at::Device device) {
  if (dtype == "fp32") return at::kFloat;
  if (dtype == "bf16") return at::kBFloat16;
  return device.is_cuda() || fast_bf16() != nullptr ? at::kBFloat16 : at::kFloat;
}

std::string tokenizer_folder(const ModelSection& config) {
  return config.tokenizer.empty() ? config.model_name_or_path : config.tokenizer;
}

TensorParallel tensor_parallel(const ParallelSection& config, Mesh& mesh) {
  return {mesh.tp(), config.sequence_parallel};
}

UnfilledModel make_or_open_model(const RunConfig& config, Mesh& mesh) {
  const std::string& folder = config.model.model_name_or_path;
  const at::ScalarType dtype = compute_dtype(config.model.dtype, mesh.device());
  const TensorParallel tp = tensor_parallel(config.parallel, mesh);
  if (!config.model.from_scratch) return open_model(folder, dtype, mesh.device(), tp);
  const ModelConfig sizes = read_model_config(folder);
  return {make_model(sizes, dtype, mesh.device(), tp),
          [sizes, seed = static_cast<uint64_t>(config.seed)](Parameter& parameter) { initialize(sizes, parameter, seed); }};
}

std::unique_ptr<Model> make_or_load_model(const RunConfig& config, Mesh& mesh) {
  UnfilledModel opened = make_or_open_model(config, mesh);
  for (Parameter* parameter : opened.model->parameters()) opened.fill(*parameter);
  return std::move(opened.model);
}

// Those that this process may run on: fewer than there are in a container or under taskset.
int usable_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

PrepareOptions prepare_options(const RunConfig& config, const DataSource& source) {
  PrepareOptions options;
  options.files = expand_paths(source.path);
  options.reading = shape_named(source.shape);
  options.reading.columns = source.columns;
  options.reading.tags = source.tags;
  options.on_overlong = on_overlong_named(config.data.on_overlong);
  options.on_bad_record = on_bad_record_named(config.data.on_bad_record);
  options.max_bad_records = config.data.max_bad_records;
  options.max_all_masked = config.data.max_all_masked;
  options.chat_template = config.data.chat_template;
  options.assistant_only_loss = config.data.assistant_only_loss;
  options.roles_to_train = config.data.roles_to_train;
  options.append_eos = config.data.append_eos;
  options.order_by = source.order_by;
  options.max_length = config.data.packing == "wrapped" ? 0 : config.data.max_length;
  options.threads = usable_cores();
  return options;
}

std::string dataset_cache_folder(const RunConfig& config, const DataSource& source, const Tokenizer& tokenizer,
                                 const std::string& cache_dir) {
  const std::string& cache = config.data.cache_dir.empty() ? cache_dir : config.data.cache_dir;
  return cache + "/datasets/" + cache_key(prepare_options(config, source), tokenizer);
}

Datasets open_datasets(const RunConfig& config, const std::vector<DataSource>& sources, const Tokenizer& tokenizer,
                       const std::string& cache_dir, Mesh& mesh, Metrics& metrics, const std::atomic<bool>* stop) {
  Datasets datasets;
  for (const DataSource& source : sources) {
    const std::string folder = prepared_folder(config, source, tokenizer, cache_dir, mesh, metrics, stop);
    datasets.push_back(std::make_shared<const Dataset>(folder, tokenizer.hash()));
  }
  return datasets;
}

std::vector<double> source_weights(const std::vector<DataSource>& sources) {
  std::vector<double> weights;
  for (const DataSource& source : sources) weights.push_back(source.weight);
  return weights;
}

// global_batch_size, where given, decides how many micro-batches make a step.
int64_t micro_batches(const TrainConfig& train, int64_t dp) {
  if (train.global_batch_size == 0) return train.gradient_accumulation_steps;
  const int64_t rows = train.per_device_train_batch_size * dp, count = train.global_batch_size / rows;
  if (count > 0 && count * rows == train.global_batch_size) return count;
  throw std::invalid_argument(fmt::format(
      "train.global_batch_size is {} but {} ranks with per_device_train_batch_size {} make multiples of {}; the nearest is {}",
      train.global_batch_size, dp, train.per_device_train_batch_size, rows, std::max<int64_t>(1, count) * rows));
}

LoaderOptions loader_options(const RunConfig& config, Mesh& mesh) {
  LoaderOptions options;
  options.max_length = config.data.max_length;
  options.packing = packing_of(config.data.packing);
  options.shuffle = config.data.shuffle;
  options.seed = static_cast<uint64_t>(config.seed);
  options.rows_per_micro_batch = config.train.per_device_train_batch_size;
  options.micro_batches = micro_batches(config.train, mesh.dp().size());
  if (config.optimizer.optimizer_in_bwd && options.micro_batches > 1) {
    throw std::invalid_argument(fmt::format(
        "optimizer.optimizer_in_bwd updates in every backward, but train.global_batch_size {} makes {} micro-batches of a step; lower it, or "
        "raise train.per_device_train_batch_size",
        config.train.global_batch_size, options.micro_batches));
  }
  options.rank = mesh.dp().rank();
  options.size = mesh.dp().size();
  options.prefetch = static_cast<int>(config.data.prefetch);
  options.curriculum = curriculum_of(config);
  options.order = document_order_of(config);
  return options;
}

LoaderOptions eval_loader_options(const RunConfig& config, Mesh& mesh) {
  LoaderOptions options = loader_options(config, mesh);
  options.shuffle = false;
  options.curriculum = {};
  options.order = DocumentOrder::kNone;
  options.rows_per_micro_batch = config.train.per_device_eval_batch_size;
  options.micro_batches = 1;
  return options;
}

}  // namespace lathe
