// lathe plan CONFIG.yaml [key=value ...] --ranks N: what every way to cut the run over ranks would hold and take.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "parallel/world.h"
#include "recipes/parts.h"
#include "recipes/trained_model.h"
#include "trainer/gemm_share.h"
#include "trainer/plan/choose.h"
#include "trainer/process_memory.h"

namespace lathe {
namespace {

constexpr double kGiB = 1 << 30;

struct PlanArguments {
  std::string config;
  std::vector<std::string> overrides;
  int64_t ranks = 0, gpus_per_node = 8, rows = 0, show = 10;
  std::string gpu = "cpu";
  double targets = 1, gemm_tflops = 0, memory_gib = 0, local_gbs = 0, network_gbs = 0;
  bool json = false;
};

double copy_bandwidth() {
  const at::Tensor from = at::ones({64 << 20}, at::kByte), to = at::ones_like(from);
  const auto start = std::chrono::steady_clock::now();
  to.mutable_data_ptr<uint8_t>()[0] = 0;
  at::Tensor(to).copy_(from);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  return 2.0 * static_cast<double>(from.nbytes()) / taken.count();
}

// This machine, its cores and memory dealt out to the ranks. A message between ranks is copied a few times.
Hardware this_machine(int64_t ranks, at::ScalarType dtype) {
  const double share = 1.0 / static_cast<double>(ranks);
  Hardware h{.name = "cpu", .ranks_per_host = ranks};
  h.memory_bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) * share;
  h.gemm_flops = measure_gemm_flops(dtype, at::kCPU) * share;
  h.program_bytes = resident_bytes();  // with the libraries in use
  h.memory_bandwidth = copy_bandwidth() * share;
  h.local_bandwidth = h.network_bandwidth = h.memory_bandwidth / 3;
  return h;
}

Hardware hardware_of(const PlanArguments& a, at::ScalarType dtype) {
  Hardware h = a.gpu == "cpu" ? this_machine(a.ranks, dtype) : find_hardware(a.gpu);
  if (a.gpu != "cpu") h.ranks_per_host = a.gpus_per_node;
  if (a.gemm_tflops > 0) h.gemm_flops = a.gemm_tflops * 1e12;
  if (a.memory_gib > 0) h.memory_bytes = a.memory_gib * kGiB;
  if (a.local_gbs > 0) h.local_bandwidth = a.local_gbs * 1e9;
  if (a.network_gbs > 0) h.network_bandwidth = a.network_gbs * 1e9;
  return h;
}

int64_t rows_of_step(const TrainConfig& train, int64_t data_ranks) {
  if (train.global_batch_size > 0) return train.global_batch_size;
  return train.per_device_train_batch_size * train.gradient_accumulation_steps * data_ranks;
}

// What parallel.overlap comes to on such ranks.
bool overlaps(const ParallelSection& parallel, const PlanArguments& a) {
  if (parallel.overlap != "auto") return parallel.overlap == "true";
  if (a.gpu != "cpu") return true;
  return spares_a_core({.ranks = static_cast<int>(a.ranks), .threads_per_rank = static_cast<int>(parallel.threads_per_rank)});
}

PlannedRun planned_run(const RunConfig& config, const PlanArguments& a, at::ScalarType dtype) {
  PlannedRun run{.model = read_model_config(config.model.model_name_or_path),
                 .dtype = dtype,
                 .on_cpu = a.gpu == "cpu",
                 .optimizer = config.optimizer,
                 .freeze = {.freeze = config.model.freeze,
                            .unfrozen_parameters = config.model.unfrozen_parameters,
                            .trainable_layers = config.model.freeze_trainable_layers},
                 .row_tokens = config.data.max_length,
                 .rows = a.rows > 0 ? a.rows : rows_of_step(config.train, a.ranks / config.parallel.tp),
                 .trained_share = a.targets,
                 .overlap = overlaps(config.parallel, a)};
  if (config.has_lora) run.lora.push_back(config.lora);
  return run;
}

// The layout that the config itself asks for.
PlannedLayout configured(const RunConfig& config, const PlannedRun& run, const PlanArguments& a, const Hardware& hardware) {
  const int64_t tp = config.parallel.tp;
  if (a.ranks % tp != 0)
    throw std::invalid_argument(fmt::format("parallel.tp is {}, which does not divide {} ranks", tp, a.ranks));
  Layout layout{.dp = a.ranks / tp,
                .tp = tp,
                .zero = static_cast<int>(config.parallel.zero),
                .sequence_parallel = config.parallel.sequence_parallel,
                .checkpointing = checkpointing_of(config.train.gradient_checkpointing),
                .micro_rows = config.train.per_device_train_batch_size};
  layout.accumulation = std::max<int64_t>(1, run.rows / (layout.dp * layout.micro_rows));
  return plan_layout(run, layout, hardware);
}

const char* name_of(Checkpointing mode) {
  if (mode == Checkpointing::kSelective) return "selective";
  return mode == Checkpointing::kBlock ? "true" : "false";
}

void print_heading() {
  fmt::print("{:8} {:>4} {:>3} {:>4} {:>9} {:>7} | {:>7} {:>7} {:>6} {:>6} {:>7} {:>7} {:>6} {:>6} | {:>8} {:>8} {:>8} {:>8} {:>10}\n",
             "", "dp", "tp", "zero", "ckpt", "rows", "GiB", "program", "weight", "grad", "optim", "buffer", "activ", "logit",
             "step s", "compute", "over dp", "over tp", "tokens/s");
}

void print_layout(const std::string& note, const PlannedRun& run, const PlannedLayout& p) {
  const Layout& l = p.layout;
  const MemoryEstimate& m = p.memory;
  const auto gib = [](double bytes) { return bytes / kGiB; };
  fmt::print(
      "{:8} {:4} {:3} {:4} {:>9} {:>7} | {:7.2f} {:7.2f} {:6.2f} {:6.2f} {:7.2f} {:7.2f} {:6.2f} {:6.2f} | {:8.3g} {:8.3g} "
      "{:8.3g} {:8.3g} {:10.0f}{}\n",
      note, l.dp, l.tp, l.zero, name_of(l.checkpointing), fmt::format("{}x{}", l.micro_rows, l.accumulation),
      gib(m.total()), gib(m.program), gib(m.weights), gib(m.gradients), gib(m.optimizer), gib(m.buffers),
      gib(m.activations), gib(m.logits), p.time.total(), p.time.compute + p.time.optimizer, p.time.over_dp,
      p.time.over_tp, static_cast<double>(run.rows * run.row_tokens) / p.time.total(), p.fits ? "" : "  does not fit");
}

nlohmann::ordered_json json_of(const PlannedLayout& p) {
  const Layout& l = p.layout;
  const MemoryEstimate& m = p.memory;
  const TimeEstimate& t = p.time;
  return {{"dp", l.dp}, {"tp", l.tp}, {"zero", l.zero}, {"gradient_checkpointing", name_of(l.checkpointing)},
          {"per_device_train_batch_size", l.micro_rows}, {"gradient_accumulation_steps", l.accumulation}, {"fits", p.fits},
          {"memory", {{"total", m.total()}, {"program", m.program}, {"weights", m.weights}, {"gradients", m.gradients},
                      {"optimizer", m.optimizer}, {"buffers", m.buffers}, {"activations", m.activations}, {"logits", m.logits}}},
          {"seconds", {{"total", t.total()}, {"compute", t.compute}, {"optimizer", t.optimizer}, {"over_dp", t.over_dp},
                       {"over_tp", t.over_tp}}}};
}

void print_json(const PlannedLayout& own, const std::vector<PlannedLayout>& all) {
  nlohmann::ordered_json out{{"config", json_of(own)}, {"layouts", nlohmann::ordered_json::array()}};
  for (const PlannedLayout& each : all) out["layouts"].push_back(json_of(each));
  fmt::print("{}\n", out.dump());
}

void print_recommendation(const PlannedLayout& best, const Hardware& hardware) {
  if (!best.fits) {
    fmt::print("\nnothing fits into {:.1f} GiB a rank ({:.0f} % of it kept free): the least is {:.1f} GiB; take more ranks, "
               "shorter rows (data.max_length), optim=adamw_8bit or a lora section\n",
               hardware.memory_bytes / kGiB, 100 * kMemoryMargin, best.memory.total() / kGiB);
    return;
  }
  const Layout& l = best.layout;
  fmt::print("\nrecommended: parallel.tp={} parallel.zero={} train.gradient_checkpointing={} "
             "train.per_device_train_batch_size={} train.gradient_accumulation_steps={}\n",
             l.tp, l.zero, name_of(l.checkpointing), l.micro_rows, l.accumulation);
}

void print_plan(const PlanArguments& a, const PlannedRun& run, const Hardware& hardware, const PlannedLayout& own,
                const std::vector<PlannedLayout>& all) {
  fmt::print("model: {}, {:.3g} M parameters in {}; {} rows of {} tokens a step, {:.0f} % of them targets\n", run.model.model_type,
             static_cast<double>(measure_shapes(run, 1).parameters) / 1e6, c10::toString(run.dtype), run.rows, run.row_tokens,
             100 * run.trained_share);
  fmt::print("ranks: {}, {} a host, on {}: {:.1f} GiB, {:.3g} TFLOP/s in products ({:.0f} % of it reached), memory {:.3g} GB/s, "
             "between ranks {:.3g} GB/s in a host, {:.3g} between hosts\n\n",
             a.ranks, std::min(a.ranks, hardware.ranks_per_host), hardware.name, hardware.memory_bytes / kGiB,
             hardware.gemm_flops / 1e12, 100 * kGemmShare, hardware.memory_bandwidth / 1e9, hardware.local_bandwidth / 1e9,
             hardware.network_bandwidth / 1e9);
  print_heading();
  print_layout("config", run, own);
  const auto fitting = std::count_if(all.begin(), all.end(), [](const PlannedLayout& p) { return p.fits; });
  const auto shown = std::min<int64_t>(a.show, fitting);
  for (int64_t i = 0; i < shown; ++i) print_layout(i == 0 ? "best" : "", run, all[i]);
  if (fitting > shown) fmt::print("{:8} ... {} slower ones\n", "", fitting - shown);
  const auto failing = static_cast<int64_t>(all.size()) - fitting;
  for (int64_t i = 0; i < std::min<int64_t>(3, failing); ++i) print_layout("", run, all[fitting + i]);
  if (failing > 3) fmt::print("{:8} ... {} more that do not fit\n", "", failing - 3);
  print_recommendation(all.front(), hardware);
}

int plan(PlanArguments a) {
  const RunRequest request = read_run(a.config, a.overrides, /*with_data=*/false);
  const RunConfig& config = request.config;
  with_code(kUsage, [&] {
    if (config.recipe != "sft" && config.recipe != "pretrain") {
      throw std::invalid_argument("recipe is " + config.recipe + "; plan knows sft and pretrain, whose step has one model and one pass");
    }
    if (a.ranks == 0) a.ranks = config.parallel.ranks;
    if (a.ranks < 1 || a.gpus_per_node < 1 || a.targets <= 0 || a.targets > 1 || a.rows < 0) {
      throw UsageError("--ranks and --gpus-per-node are at least 1, --targets above 0 and at most 1, --rows not below 0");
    }
    const at::ScalarType dtype = compute_dtype(config.model.dtype, a.gpu == "cpu" ? at::kCPU : at::kCUDA);
    const PlannedRun run = planned_run(config, a, dtype);
    const Hardware hardware = hardware_of(a, dtype);
    const PlannedLayout own = configured(config, run, a, hardware);
    const std::vector<PlannedLayout> all = plan_layouts(run, a.ranks, hardware);
    a.json ? print_json(own, all) : print_plan(a, run, hardware, own, all);
  });
  return kDone;
}

}  // namespace

int plan_verb(int argc, char** argv) {
  PlanArguments a;
  Arguments arguments("plan", "Predicts memory and time of every way to cut a run over ranks, and recommends one.");
  arguments.positional("config", a.config, "the YAML file of the run", false);
  arguments.positionals("overrides", a.overrides, "key=value, with or without the section");
  arguments.option("--ranks", a.ranks, "ranks in all; default: parallel.ranks");
  arguments.option("--gpus-per-node", a.gpus_per_node, "ranks of a host");
  arguments.option("--gpu", a.gpu, "what a rank runs on: a100, a100-40gb, h100, h200, l40s; cpu: this machine, measured");
  arguments.option("--rows", a.rows, "rows of a step over all ranks; default: as the config says for so many ranks");
  arguments.option("--targets", a.targets, "share of the tokens that are trained");
  arguments.option("--gemm-tflops", a.gemm_tflops, "what large matrix products reach, measured (lathe env) or known");
  arguments.option("--memory-gib", a.memory_gib, "memory of a rank");
  arguments.option("--local-gbs", a.local_gbs, "GB/s a rank within a host, as lathe preflight measures");
  arguments.option("--network-gbs", a.network_gbs, "GB/s a rank between hosts");
  arguments.option("--show", a.show, "how many of the fitting layouts are printed");
  arguments.flag("--json", a.json, "everything as one JSON object; bytes and seconds");
  arguments.footer(R"(
What is assumed: rows are full (packed to data.max_length) and attention looks over whole rows; products reach 65 % of the speed
of large ones; messages take turns with the products, none is hidden behind them (with parallel.overlap
memory has the unit more that this needs); 8 % of a rank's memory stays free. Not
counted: the copy of a background save (save_in_background), evaluation, generation.

lathe plan configs/sft.yaml model_name_or_path=Llama-3.1-8B --ranks 64 --gpus-per-node 8 --gpu h100 --rows 256
)");
  if (!arguments.parse(argc, argv)) return kDone;
  file_or_override(a.config, a.overrides);
  return plan(a);
}

}  // namespace lathe
