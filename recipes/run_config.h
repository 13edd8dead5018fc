#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recipes/quickstart_config.h"
#include "recipes/self_reward_config.h"
#include "recipes/synthesize_config.h"
#include "trainer/config.h"
#include "trainer/lora_config.h"
#include "trainer/objective/distill_config.h"
#include "trainer/objective/preference_config.h"
#include "trainer/objective/reward.h"
#include "trainer/optimizer.h"
#include "trainer/schedule.h"
#include "trainer/trainer.h"

// Everything a run can be told, section by section.
namespace lathe {

// Which model, and in which type it computes.
struct ModelSection {
  std::string model_name_or_path;
  std::string dtype = "auto";
  bool from_scratch = false;
  std::string tokenizer;
  std::vector<std::string> freeze, unfrozen_parameters;
  int64_t freeze_trainable_layers = 0;
};

template <class V>
void fields(V& v, ModelSection& c) {
  v("model_name_or_path", c.model_name_or_path,
    "a Hugging Face folder, or org/name found in the local Hugging Face cache; never the network");
  v("dtype", c.dtype, "type of weights and activations; auto: bf16 where this machine is fast at it, else fp32",
    one_of({"auto", "fp32", "bf16"}));
  v("from_scratch", c.from_scratch, "take only the folder's config.json and initialise the weights from the seed");
  v("tokenizer", c.tokenizer, "folder or tokenizer.json; empty: the model's folder");
  v("freeze", c.freeze, "weights that stay as they are: regular expressions for the beginning of their names");
  v("unfrozen_parameters", c.unfrozen_parameters, "only these weights are trained: regular expressions likewise");
  v("freeze_trainable_layers", c.freeze_trainable_layers,
    "n: train only the last n layers; -n: only the first n; 0: everything");
}

inline std::vector<Conflict> conflicts(const ModelSection& c) {
  if (c.unfrozen_parameters.empty() || c.freeze_trainable_layers == 0) return {};
  return {{{"unfrozen_parameters", "freeze_trainable_layers"}, "both say what is trained; keep one"}};
}

struct DataSource {
  std::string path;
  double weight = 1;
  std::vector<std::string> weights = {};
  std::string shape = "auto";
  TextMap columns = {}, tags = {};
  std::string order_by = "";
};

template <class V>
void fields(V& v, DataSource& c) {
  v("path", c.path,
    "file (.jsonl, .json, .parquet, .csv, .tsv, .txt, .warc, .wet; also .gz, .zst), glob, folder of them, dataset folder "
    "made by prepare, or a name in dataset_dir/dataset_info.json");
  v("weight", c.weight, "times each document is taken per epoch", above(0));
  v("weights", c.weights, "the same for each of data.stages: [1, 0.1]; empty: weight in all of them");
  v("shape", c.shape, "keys of the records; auto: told by the first record, and said",
    one_of({"auto", "text", "messages", "tokens", "prompt_completion", "query_response", "alpaca", "sharegpt", "segments",
            "preference", "unpaired"}));
  v("columns", c.columns, "what the files call a key of the shape: {prompt: question, completion: answer}");
  v("tags", c.tags,
    "what the turns of a conversation are made of: role_tag, content_tag, user_tag, assistant_tag, observation_tag, "
    "function_tag, system_tag");
  v("order_by", c.order_by, "data.order_by of this source, where its records call it otherwise");
}

struct DataSection {
  std::vector<DataSource> train, eval;
  std::vector<std::string> stages;
  std::string order_by, order;
  std::string dataset_dir = "data";
  int64_t max_length = 1024;
  std::string on_overlong = "truncate";
  std::string on_bad_record = "error";
  double max_bad_records = 0.001;
  double max_all_masked = 0.1;
  std::string packing = "bfd";
  bool shuffle = true;
  bool assistant_only_loss = true;
  std::vector<std::string> roles_to_train = {"assistant"};
  std::string chat_template = "auto";
  bool append_eos = true;
  std::string exact_match;
  std::string cache_dir;
  int64_t prefetch = 2;
};

template <class V>
void fields(V& v, DataSection& c) {
  v("train", c.train, "training data: a path, or a list of {path, weight, shape, columns, tags}");
  v("eval", c.eval, "held-out data, for the evaluation loss");
  v("stages", c.stages,
    "a curriculum: where each stage begins, below 1 a share of all steps, else a step: [0, 0.8]; the sources' weights say what "
    "it takes, and an epoch is one of the first");
  v("order_by", c.order_by,
    "a number in every record of train, whose order every epoch follows instead of shuffling: difficulty, or "
    "curated.order (a key within a key); a mixture of lathe curate brings its own; empty: none");
  v("order", c.order, "those with the least of it first, or with the most; empty: the least, or as the mixture says",
    one_of({"", "ascending", "descending"}));
  v("dataset_dir", c.dataset_dir, "folder whose dataset_info.json (LLaMA-Factory's) names data sets");
  v("max_length", c.max_length, "tokens of a row", at_least(2));
  v("on_overlong", c.on_overlong,
    "a record of more than max_length tokens: stop, drop it, cut its end off, or split it into documents; all are counted",
    one_of({"error", "drop", "truncate", "split"}));
  v("on_bad_record", c.on_bad_record, "a record that can not be read or rendered: stop, or skip and count it",
    one_of({"error", "skip"}));
  v("max_bad_records", c.max_bad_records, "records that may be skipped; below 1: a share of all", at_least(0));
  v("max_all_masked", c.max_all_masked, "share of the records that may have no token to train on; more stop the run",
    between(0, 1));
  v("packing", c.packing, "true or bfd: best fit decreasing; false: one document per row; wrapped: concatenate and cut",
    one_of({"true", "false", "bfd", "wrapped"}));
  v("shuffle", c.shuffle, "another order of rows in every epoch");
  v("assistant_only_loss", c.assistant_only_loss, "train only on what the assistant says, or on the completion; false: on all tokens");
  v("roles_to_train", c.roles_to_train, "whose messages are trained where a message does not say so itself (train, loss, weight)");
  v("chat_template", c.chat_template, 
    "how a conversation becomes text; auto: the tokenizer folder's own template, else chatml; or chatml, llama2, llama3, "
    "mistral, gemma, phi3, zephyr, alpaca, or the path of a .jinja file");
  v("append_eos", c.append_eos, "end every text document with the eos token");
  v("exact_match", c.exact_match,
    "conversations whose last answer is generated before and after training and compared to the letter");
  v("cache_dir", c.cache_dir, "where prepared raw files are kept; empty: the user's cache folder");
  v("prefetch", c.prefetch, "steps of data made ahead on a thread; 0: none", between(0, 64));
}

struct ParallelSection {
  std::string dp = "auto";
  int64_t tp = 1;
  int64_t zero = 1;
  bool sequence_parallel = true;
  int64_t ranks = 1;
  std::string backend = "auto";
  std::string overlap = "auto";
  int64_t threads_per_rank = 0;
  int64_t heartbeat_timeout = 15;
  int64_t start_timeout = 3600, data_timeout = 600, step_timeout = 600, eval_timeout = 1800, save_timeout = 1800;
};

template <class V>
void fields(V& v, ParallelSection& c) {
  v("dp", c.dp, "data-parallel ranks; auto: all ranks / tp");
  v("tp", c.tp, "tensor-parallel ranks: each has its part of every layer", between(1, 256));
  v("zero", c.zero,
    "what is split over the data-parallel ranks: 0 nothing, 1 optimiser state, 2 gradients too, 3 weights too",
    between(0, 3));
  v("sequence_parallel", c.sequence_parallel,
    "tensor-parallel ranks share the tokens out between the layers, and the memory of these");
  v("ranks", c.ranks, "threads of this process that act as ranks (not under mpirun)", between(1, 256));
  v("backend", c.backend, "how ranks talk; auto: mpi under mpirun, else threads", one_of({"auto", "local", "mpi", "nccl"}));
  v("overlap", c.overlap,
    "with zero 2 and 3, sums of gradients and weights to come travel beside the passes, by a thread of each rank; auto: on GPUs, "
    "and where threads_per_rank leaves every rank a core",
    one_of({"auto", "true", "false"}));
  v("threads_per_rank", c.threads_per_rank, "threads of each rank's tensor operations; 0: cores / ranks", at_least(0));
  v("heartbeat_timeout", c.heartbeat_timeout,
    "seconds after which a rank of mpirun that is silent or stopped counts as lost, and all end with 71; 0: nobody watches",
    at_least(0));
  v("start_timeout", c.start_timeout, "seconds without any progress, before the first step, that count as a hang; 0: none",
    at_least(0));
  v("data_timeout", c.data_timeout, "the same while a step waits for its data", at_least(0));
  v("step_timeout", c.step_timeout, "the same in a step", at_least(0));
  v("eval_timeout", c.eval_timeout, "the same in an evaluation", at_least(0));
  v("save_timeout", c.save_timeout, "the same in a save, and at the end of the run", at_least(0));
}

struct CaptureSection {
  int64_t top_k = 64;
  int64_t shard_rows = 1 << 18;
};

template <class V>
void fields(V& v, CaptureSection& c) {
  v("top_k", c.top_k, "tokens that are kept of each distribution, with the probability of the rest", at_least(1));
  v("shard_rows", c.shard_rows, "trained tokens of a shard, which is what a rank makes at a time and what a stop may lose",
    at_least(1));
}

struct RunConfig {
  std::string recipe = "sft";
  std::string output_dir = "runs/run";
  int64_t seed = 42;
  ModelSection model;
  DataSection data;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  TrainConfig train;
  LossConfig loss;
  ParallelSection parallel;
  PreferenceConfig dpo;
  DistillConfig distill;
  CaptureSection capture;
  RewardConfig reward;
  SelfRewardConfig self_reward;
  SynthesizeConfig synthesize;
  QuickstartConfig quickstart;
  LoraConfig lora;
  bool has_lora = false;  // the section is there
};

template <class V>
void fields(V& v, RunConfig& c) {
  v("recipe", c.recipe, "what is trained on what: see lathe ls");
  v("output_dir", c.output_dir, "the run folder: the final model, checkpoints, metrics");
  v("seed", c.seed, "decides order, initialisation and sampling", at_least(0));
  v("model", c.model, "which model");
  v("data", c.data, "what it reads");
  v("optimizer", c.optimizer, "how weights are updated");
  v("schedule", c.schedule, "how the learning rate moves");
  v("train", c.train, "how long, how much at once, what is kept");
  v("loss", c.loss, "what sft and pretrain minimise");
  v("parallel", c.parallel, "how the work is cut over ranks");
  v("dpo", c.dpo, "what recipe dpo minimises", belongs_to("recipe", {"dpo", "self_reward"}));
  v("distill", c.distill, "what recipe distill learns, and of whom", belongs_to("recipe", {"distill"}));
  v("capture", c.capture, "what lathe capture keeps of the model", belongs_to("recipe", {"capture"}));
  v("reward", c.reward, "what recipe reward minimises", belongs_to("recipe", {"reward"}));
  v("self_reward", c.self_reward, "how recipe self_reward makes its pairs, and synthesize its answers",
    belongs_to("recipe", {"self_reward", "synthesize"}));
  v("synthesize", c.synthesize, "how lathe synthesize makes prompts, and what it keeps", belongs_to("recipe", {"synthesize"}));
  v("quickstart", c.quickstart, "how many questions recipe quickstart writes", belongs_to("recipe", {"quickstart"}));
  v("lora", c.lora, "low-rank adapters; absent: the weights themselves are trained", may_be_absent());
}

// Reads them, and whether the sections that may be absent are there.
ResolvedConfig read_run_config(const ConfigSource& source, RunConfig& config);

// What single fields can not say: missing model or data, keys that exclude each other. std::invalid_argument names the
// keys, and where they stand.
void check_run(const RunConfig& config, const ResolvedConfig& resolved, bool makes_its_data);

// One line `section.key: value` for every key that decides the numbers of a run. A checkpoint made under other lines is
// not resumed. Left out: what only says how often to log and save, and the layout, which changes nothing beyond rounding.
std::string fingerprint(RunConfig config);
// The same of the keys that may change when a run goes on; then it says which did.
std::string free_settings(RunConfig config);

}  // namespace lathe
