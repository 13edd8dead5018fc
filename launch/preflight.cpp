// lathe preflight [CONFIG.yaml] [key=value ...]: before a long run, whether the ranks belong together and how fast they talk.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "data/shards/hash.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/ranks.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "parallel/mesh.h"
#include "parallel/mpi_group.h"
#include "recipes/parts.h"
#include "recipes/run_record.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

constexpr int64_t kBytes = 16 << 20;
constexpr int kMostPairs = 28;  // those of 8 ranks

double seconds_of_all_reduce(Group& group, int64_t bytes, int times) {
  at::Tensor values = at::ones({bytes / 4}, at::TensorOptions().dtype(at::kFloat).device(group.device()));
  group.all_reduce(values, Reduce::kMax);  // the first one makes connections
  group.barrier();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) group.all_reduce(values, Reduce::kMax);
  values[0].item();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / times;
}

// Measured by the group's ranks, told by the world's rank 0.
std::string speed_text(Group& world, Group& group, bool member) {
  std::string text;
  if (member) {
    const double small = seconds_of_all_reduce(group, 8, 20), large = seconds_of_all_reduce(group, kBytes, 2);
    if (group.rank() == 0)
      text = fmt::format("{:8.1f} us for 8 bytes  {:7.2f} GB/s of 16 MiB", small * 1e6, kBytes / large / 1e9);
  }
  for (const std::string& each : gather_bytes(world, text)) {
    if (!each.empty()) return each;
  }
  return "";
}

void print_pairs(Group& world) {
  int pairs = 0;
  for (int a = 0; a < world.size(); ++a) {
    for (int b = a + 1; b < world.size() && pairs < kMostPairs; ++b, ++pairs) {
      const bool member = world.rank() == a || world.rank() == b;
      const std::unique_ptr<Group> pair = world.split(member ? 0 : 1);
      const std::string text = speed_text(world, *pair, member);
      if (world.rank() == 0) fmt::print("all-reduce of ranks {:2} and {:2}  {}\n", a, b, text);
    }
  }
  if (world.rank() == 0 && pairs == kMostPairs && world.size() > 8) fmt::print("further pairs are left out\n");
}

void preflight(std::unique_ptr<Group> group, int launched, const std::string& identity, const MeshShape& shape) {
  check_ranks(*group, launched, identity);
  const std::string place = fmt::format("host {}  pid {}  {}  {} threads", host_name(), getpid(), group->device().str(), at::get_num_threads());
  const std::vector<std::string> places = gather_bytes(*group, place);
  const bool first = group->rank() == 0;
  for (size_t rank = 0; first && rank < places.size(); ++rank) fmt::print("rank {:2}  {}\n", rank, places[rank]);
  if (first) fmt::print("{} ranks of one program, one LibTorch, one MPI ({}) and one config\n", places.size(), mpi_version());
  Mesh mesh(std::move(group), shape);
  Group& world = mesh.world();
  for (const auto& [name, axis] : {std::pair<const char*, Group*>{"dp", &mesh.dp()}, {"tp", &mesh.tp()}, {"world", &world}}) {
    if (axis->size() == 1) continue;
    const std::string text = speed_text(world, *axis, true);
    if (first) fmt::print("all-reduce over {:5} ({} ranks)  {}\n", name, axis->size(), text);
  }
  print_pairs(world);
}

}  // namespace

int preflight_verb(int argc, char** argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  Arguments arguments("preflight", "Checks that all ranks have the same program, libraries and config, and measures how fast they talk.");
  arguments.positional("config", config_path, "the YAML file of the run to come", false);
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  arguments.footer("\nmpirun -np 4 lathe preflight configs/sft.yaml parallel.tp=2\n");
  if (!arguments.parse(argc, argv)) return kDone;
  file_or_override(config_path, overrides);
  // Without a run to come: one that needs no model and no data.
  if (config_path.empty()) overrides.insert(overrides.begin(), "recipe=quickstart");
  int rank = 0;
  const int launched = launched_ranks(&rank);
  try {
    const RunRequest request = read_run(config_path, overrides);
    check_launch(request.config.parallel, launched);
    const WorldOptions options = world_options(request.config.parallel, launched);
    const std::string warning = rank == 0 ? binding_warning(request.config.parallel.threads_per_rank) : "";
    if (!warning.empty()) fmt::print("{}\n", warning);
    const MpiSession mpi(options.backend != "local");
    const std::string identity = rank_identity(hex16(hash_bytes(request.fingerprint)));
    run_world(options, [&](std::unique_ptr<Group> world) {
      preflight(std::move(world), launched, identity, mesh_shape(request.config.parallel));
    });
    return kDone;
  } catch (...) {
    const Fatal fatal = explain(std::current_exception());
    print_fatal(fatal, rank);
    if (launched > 1) mpi_abort(fatal.code);
    return fatal.code;
  }
}

}  // namespace lathe
