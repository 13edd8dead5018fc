#include "launch/restarts.h"

#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "launch/exit_codes.h"
#include "launch/fatal.h"

namespace lathe {
namespace {

constexpr int kMaxStartsWithoutProgress = 3;

// A signal handler can only reach what is global.
volatile std::sig_atomic_t child = 0, told = 0;

void pass_on(int signal) {
  told = signal;
  if (child > 0) kill(child, signal);
}

// Of the newest checkpoint that is complete; 0: none.
int64_t newest_step(const std::string& output_dir) {
  constexpr std::string_view prefix = "checkpoint-";
  int64_t newest = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(output_dir, error)) {
    const std::string name = entry.path().filename();
    int64_t step = 0;
    if (!name.starts_with(prefix)) continue;
    const auto [end, failed] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
    if (failed == std::errc() && *end == '\0' && std::filesystem::exists(entry.path() / "manifest.json")) newest = std::max(newest, step);
  }
  return newest;
}

int run_once(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, words[0], nullptr, nullptr, words.data(), environ);
  if (failed != 0) throw Coded(kUsage, fmt::format("{} can not be started: {}", command[0], std::strerror(failed)));
  child = pid;
  if (told) kill(pid, told);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  child = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool worth_a_restart(int code) { return code == kPeerLost || code >= 128 || code == 1; }

}  // namespace

int run_with_restarts(const RestartOptions& options) {
  struct sigaction action = {};
  action.sa_handler = pass_on;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaction(signal, &action, nullptr);
  int without_progress = 0;
  for (int64_t restarts = 0; true; ++restarts) {
    const int64_t before = newest_step(options.output_dir);
    const int code = run_once(options.command);
    if (!worth_a_restart(code) || told) return code;
    const int64_t after = newest_step(options.output_dir);
    without_progress = after > before ? 0 : without_progress + 1;
    if (without_progress == kMaxStartsWithoutProgress) {
      fmt::print(stderr, "restarts: {} starts in a row left no newer checkpoint (the newest: step {}); no further start\n",
                 kMaxStartsWithoutProgress, after);
      return code;
    }
    if (restarts == options.max_restarts) {
      fmt::print(stderr, "restarts: all {} are used\n", options.max_restarts);
      return code;
    }
    fmt::print(stderr, "restarts: the run ended with {} (checkpoint of step {}); start {} of {}\n", code, after, restarts + 2,
               options.max_restarts + 1);
  }
}

}  // namespace lathe
