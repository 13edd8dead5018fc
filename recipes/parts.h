#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "data/loader/loader.h"
#include "data/prepare.h"
#include "data/tokenize/tokenizer.h"
#include "parallel/mesh.h"
#include "recipes/recipe.h"
#include "trainer/hf_folder.h"
#include "trainer/metrics.h"
#include "trainer/model.h"

// The steps that recipes share, one function each.
namespace lathe {

using Datasets = std::vector<std::shared_ptr<const Dataset>>;

// overlap: auto is taken for false; launch/ decides it before.
MeshShape mesh_shape(const ParallelSection& config);

// auto: bf16 where the device is fast at it (a GPU, or a CPU with AMX or AVX512_BF16), else fp32.
at::ScalarType compute_dtype(const std::string& dtype, at::Device device);

// The model's own folder unless the config names another.
std::string tokenizer_folder(const ModelSection& config);

// How models are cut over the mesh.
TensorParallel tensor_parallel(const ParallelSection& config, Mesh& mesh);

// Weights from the folder, or initialised from the seed; this rank's parts.
UnfilledModel make_or_open_model(const RunConfig& config, Mesh& mesh);
std::unique_ptr<Model> make_or_load_model(const RunConfig& config, Mesh& mesh);

// Sources that are no path but names in data.dataset_dir/dataset_info.json (LLaMA-Factory's; several with commas
// between) become what stands there. Returns one line for each. Throws std::invalid_argument for a source that is neither.
std::vector<std::string> resolve_sources(DataSection& data);

// How prepare turns this source's files into tokens.
PrepareOptions prepare_options(const RunConfig& config, const DataSource& source);

// Where train keeps what it prepared from a source's files. cache_dir: the user's; the config may name another.
std::string dataset_cache_folder(const RunConfig& config, const DataSource& source, const Tokenizer& tokenizer,
                                 const std::string& cache_dir);

// Opens dataset folders; prepares raw files into the cache first (rank 0 works, the others wait). Throws Stopped on every
// rank when `stop` comes while it does: the next call goes on from there.
Datasets open_datasets(const RunConfig& config, const std::vector<DataSource>& sources, const Tokenizer& tokenizer,
                       const std::string& cache_dir, Mesh& mesh, Metrics& metrics,
                       const std::atomic<bool>* stop = nullptr);

std::vector<double> source_weights(const std::vector<DataSource>& sources);

// What data.stages and the sources' weights ask for. Throws std::invalid_argument where they do not go together.
Curriculum curriculum_of(const RunConfig& config);
// What data.order asks for, likewise.
DocumentOrder document_order_of(const RunConfig& config);

LoaderOptions loader_options(const RunConfig& config, Mesh& mesh);

// Rows of an epoch in order, each once, for the evaluation loss.
LoaderOptions eval_loader_options(const RunConfig& config, Mesh& mesh);

}  // namespace lathe
