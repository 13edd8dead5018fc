// The program. It knows no tensors: LibTorch takes a quarter of a second to load, so --version, --help and a mistyped verb
// are answered here, and the verbs lie in lathe_verbs.so, which is opened when there is work.
#include <dlfcn.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "launch/exit_codes.h"
#include "launch/launched.h"
#include "launch/monitor.h"
#include "launch/verbs.h"
#include "trainer/nearest.h"

namespace {

using namespace lathe;

void print_help(std::FILE* out) {
  fmt::print(out,
             "lathe {}: fine-tunes open language models; Hugging Face folders in, Hugging Face folders out\n\n"
             "usage: lathe VERB [CONFIG.yaml] [key=value ...]\n\nverbs:\n",
             LATHE_VERSION);
  for (const VerbText& verb : kVerbs) fmt::print(out, "  {:<10} {}\n", verb.name, verb.sentence);
  fmt::print(out,
             "\nlathe VERB --help tells more of one verb; lathe train --help lists every config key.\n"
             "Many ranks: mpirun -np N lathe train CONFIG.yaml, or parallel.ranks=N for threads of one process.\n\n"
             "exit codes: 0 done, 64 usage or config, 65 bad data, model or checkpoint, 69 launch mismatch, 70 our bug,\n"
             "71 a peer was lost or hangs, 73 output folder locked or not writable, 74 disk full or I/O error,\n"
             "75 stopped by a signal with a checkpoint saved: start again, 76 numeric stop\n");
}

bool known(std::string_view name) {
  for (const VerbText& verb : kVerbs) {
    if (name == verb.name) return true;
  }
  return false;
}

int unknown_verb(const std::string& name) {
  std::vector<std::string> names;
  for (const VerbText& verb : kVerbs) names.push_back(verb.name);
  const std::string near = nearest(name, names);
  fmt::print(stderr, "lathe: unknown verb `{}`{}; lathe --help lists all\n", name, near.empty() ? "" : "; did you mean `" + near + "`?");
  return kUsage;
}

// OpenMP's threads wait for each other by spinning, for milliseconds. On a machine that does anything else besides, that
// costs more than it saves: with two cores and a busy neighbour 4x of a step. So they spin briefly, then sleep. Must be said
// before the runtime is loaded; the user's own word wins.
void spin_briefly() {
  if (!std::getenv("OMP_WAIT_POLICY")) setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
}

int run_in_module(int argc, char** argv) {
  spin_briefly();
  const auto module_path = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "lathe_verbs.so";
  void* module = dlopen(module_path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!module) {
    fmt::print(stderr, "lathe: can not open {}: {}; build again with ./launch/bootstrap\n", module_path.string(), dlerror());
    return kLaunchMismatch;
  }
  const auto run = reinterpret_cast<RunVerb>(dlsym(module, kRunVerbSymbol));
  if (!run) {
    fmt::print(stderr, "lathe: {} has no {}; build again with ./launch/bootstrap\n", module_path.string(), kRunVerbSymbol);
    return kLaunchMismatch;
  }
  return run(argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (first.empty()) {
    print_help(stderr);
    return kUsage;
  }
  if (first == "--help" || first == "-h" || first == "help") {
    print_help(stdout);
    return kDone;
  }
  if (first == "--version" || first == "version") {
    fmt::print("lathe {}\n", LATHE_VERSION);
    return kDone;
  }
  if (!known(first)) return unknown_verb(first);
  int rank = 0;
  if ((first == "train" || first == "capture") && launched_ranks(&rank) > 1) {
    if (const std::optional<int> code = watch_over_rank(rank)) _exit(*code);
  }
  const int code = run_in_module(argc, argv);
  // LibTorch's own clean-up at exit takes a tenth of a second and frees nothing that the system would not.
  std::fflush(nullptr);
  _exit(code);
}
