#include "launch/run_verb.h"

#include <malloc.h>

#include <string_view>

#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/signals.h"
#include "launch/verbs.h"

namespace lathe {
namespace {

struct Entry {
  const char* name;
  int (*run)(int, char**);
};

constexpr Entry kTable[] = {
    {"train", train_verb}, {"curate", curate_verb}, {"prepare", prepare_verb}, {"capture", capture_verb}, {"synthesize", synthesize_verb},
    {"generate", generate_verb},
    {"chat", chat_verb},   {"score", score_verb},       {"eval", eval_verb},
    {"tokenize", tokenize_verb}, {"render", render_verb}, {"tokenizer", tokenizer_verb}, {"inspect", inspect_verb},
    {"export", export_verb}, {"validate", validate_verb}, {"prove", prove_verb},
    {"report", report_verb}, {"ls", ls_verb},
    {"preflight", preflight_verb}, {"postmortem", postmortem_verb}, {"plan", plan_verb},
    {"cp", cp_verb},       {"env", env_verb},           {"schema", schema_verb},
};
static_assert(std::size(kTable) == std::size(kVerbs));

// Freed tensors stay with the process: handing them back to the kernel and touching them anew costs up to half of a step.
void keep_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
}

}  // namespace
}  // namespace lathe

extern "C" int lathe_run_verb(int argc, char** argv) {
  using namespace lathe;
  keep_memory();
  explain_bus_errors();
  try {
    for (const Entry& entry : kTable) {
      if (std::string_view(argv[1]) == entry.name) return entry.run(argc, argv);
    }
    throw std::logic_error("main let through a verb that is not in the table");
  } catch (...) {
    const Fatal fatal = explain(std::current_exception());
    print_fatal(fatal, 0);
    return fatal.code;
  }
}
