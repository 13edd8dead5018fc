// lathe env: versions and what this machine can do, for bug reports.
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/core.h>
#include <sys/sysinfo.h>
#include <torch/version.h>
#include <unistd.h>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "trainer/kernels/cpu_features.h"

namespace lathe {

int env_verb(int argc, char** argv) {
  Arguments arguments("env", "Prints versions and what this machine can do.");
  if (!arguments.parse(argc, argv)) return kDone;
  struct sysinfo memory = {};
  sysinfo(&memory);
  const auto row = [](const char* name, const std::string& value) { fmt::print("{:<12} {}\n", name, value); };
  row("lathe", LATHE_VERSION);
  row("compiler", __VERSION__);
  row("libtorch", TORCH_VERSION);
  row("capability", at::get_cpu_capability());
  row("bf16", fast_bf16() ? fmt::format("fast on this CPU ({})", fast_bf16()) : "slow on this CPU: dtype auto computes in fp32");
  row("cores", fmt::format("{}", sysconf(_SC_NPROCESSORS_ONLN)));
  row("threads", fmt::format("{}", at::get_num_threads()));
  row("memory", fmt::format("{:.1f} GiB", static_cast<double>(memory.totalram) * memory.mem_unit / (1 << 30)));
  row("backends", LATHE_BACKENDS);
  row("cuda", at::hasCUDA() ? "yes" : "no");
  row("launcher", launched_ranks() > 0 ? fmt::format("{} ranks", launched_ranks()) : "none");
  row("cache", user_cache_dir());
  return kDone;
}

}  // namespace lathe
