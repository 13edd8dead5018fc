#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/loader/batch.h"
#include "parallel/buckets.h"
#include "parallel/layers.h"
#include "parallel/parameter.h"
#include "trainer/kernels/logit_loss.h"
#include "trainer/kernels/rows.h"
#include "trainer/kv_cache.h"
#include "trainer/model_config.h"
#include "trainer/step_noise.h"

// A language model: from a Batch to hidden states and to log-probabilities at chosen positions. Knows its parameters'
// Hugging Face names; nothing of training or files. A model that is cut over the ranks of a tp group (parallel/layers.h)
// has its rank's parts of the parameters, and is called by all ranks of the group alike; what it returns is the same at
// all of them.
//
// Shape letters, here and in trainer/: T tokens of a micro-batch, N chosen positions, H hidden size, V vocabulary,
// I intermediate size, Q query heads, K key/value heads, D head size, L layers.
namespace lathe {

// What of the activations backward computes again instead of keeping it. Results are the same
// bits; kSelective keeps attention, which costs the most to do again, and repeats the rest of each
// block.
enum class Checkpointing { kOff, kBlock, kSelective };

// Of each chosen position: log p(target), log sum exp of the logits, and their mean; [N] float32.
struct TokenStatistics {
  at::Tensor log_probs, log_z, mean_logit;
};

// What a forward shows of its layers, by Hugging Face's numbers: 0 is the embedding, i the output of block i, the last one
// after the last norm. The keys say what is wanted, the values are filled in; differentiable as what hidden() returns.
struct LayerStates {
  // Of this rank's heads, as the softmax has them.
  struct Attention {
    at::Tensor q_TQD, k_TKD;
    Scoring scoring;
  };
  std::map<int64_t, at::Tensor> hidden_TH;
  std::map<int64_t, Attention> attention;  // from 1: the block's
};

struct LinearLayer;  // trainer/models/linear_layer.h
class Sharding;      // parallel/sharding.h
class Mesh;          // parallel/mesh.h

class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;
  // All of them, each once (a tied head is the embedding), in a fixed order; addresses stay valid.
  virtual std::vector<Parameter*> parameters() = 0;

  // The matrices inside the blocks, by the names of their weights: what an adapter can be put on.
  virtual std::vector<LinearLayer*> linear_layers() = 0;

  // Which parameters are used together, adapters' among them: those outside the blocks, the blocks one by one, the last
  // norm with what follows it. The model tells the sharding when it uses which; null: nobody.
  virtual std::vector<std::vector<Parameter*>> units() = 0;
  virtual void set_sharding(Sharding* sharding) = 0;

  // How it is cut.
  virtual const TensorParallel& tensor_parallel() const = 0;

  // What makes the forwards of one training step random: dropout of adapters, noise on embeddings.
  // Absent, as at first: nothing is.
  virtual void set_noise(std::optional<StepNoise> noise) = 0;

  virtual void set_checkpointing(Checkpointing mode) = 0;

  // [T, H]: after the last norm. Attention is causal within each document.
  virtual at::Tensor hidden(const Batch& batch) = 0;
  virtual at::Tensor hidden(const Batch& batch, LayerStates& states) = 0;
  // The same when document d of the batch continues the sequence of caches[d]: attends to it, appends to it. No gradient.
  // Positions go on from the cache's length; batch.positions is not read.
  virtual at::Tensor hidden(const Batch& batch, std::span<KvCache* const> caches) = 0;
  // hidden_NH -> [N] float32: log p(targets_N | hidden) with softmax in float32; [N, V] never exists at once.
  virtual at::Tensor log_probs(const at::Tensor& hidden_NH, const at::Tensor& targets_N) = 0;
  // The same with what label smoothing and z-loss need besides.
  virtual TokenStatistics token_statistics(const at::Tensor& hidden_NH,
                                           const at::Tensor& targets_N) = 0;
  // hidden_NH -> [N] float32: a loss of whole rows of logits, differentiable; [N, V] never exists at once.
  virtual at::Tensor logit_losses(const at::Tensor& hidden_NH, const LogitLoss& loss) = 0;
  // hidden_NH -> [N, V] float32. For generation and scoring; no gradient.
  virtual at::Tensor logits(const at::Tensor& hidden_NH) = 0;
  // Where weights are brought together in every pass: the head's stay after logits(), which ranks may then call a
  // different number of times each. Until keep_head(false), or until the model is trained on.
  virtual void keep_head(bool keep) = 0;

  // What the model itself wants added to the mean loss of the last hidden(batch), differentiable, undefined when that is
  // nothing: the balance of experts' load, times its coefficient. Handed over once.
  virtual at::Tensor take_auxiliary_loss() { return {}; }

  // Key and value heads of each layer, at this rank.
  virtual int64_t num_kv_heads() const = 0;

  // An empty cache of this model's type and device, for up to `capacity` tokens. Its blocks are this model's: it goes first.
  virtual KvCache make_cache(int64_t capacity);
  // Blocks of caches that are in use.
  int64_t num_kv_blocks() const { return kv_pool_ ? kv_pool_->num_in_use() : 0; }

 private:
  std::unique_ptr<KvPool> kv_pool_;
};

// The table of families. Weights are undefined-valued memory until loaded or initialised.
// Throws std::invalid_argument for a family that is not there, with the list of those that are.
// std::invalid_argument, too, for a model that the ranks of `tp` can not share.
std::unique_ptr<Model> make_model(const ModelConfig& config, at::ScalarType dtype, at::Device device,
                                  const TensorParallel& tp = {});

// make_sharding by the model's units, which from then on it is told of. parameters: the model's, adapters' on it, and
// what stands beside it: one more unit, the last. The model has to be done with before the result is.
std::unique_ptr<Sharding> shard_model(int zero, Model& model, const std::vector<Parameter*>& parameters, Mesh& mesh,
                                      int64_t align, const FillParameter& fill = {});

// The families' names, as in config.json's model_type.
std::vector<std::string> model_families();

// Hugging Face's initialisation: matrices and embeddings N(0, initializer_range), norm weights 1. Counter-based: values
// depend on (seed, parameter name, element) only.
void initialize(Model& model, uint64_t seed);
void initialize(const ModelConfig& config, Parameter& parameter, uint64_t seed);

}  // namespace lathe
