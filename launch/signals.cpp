#include "launch/signals.h"

#include <csignal>
#include <unistd.h>

#include "launch/exit_codes.h"
#include "parallel/rank_log.h"

namespace lathe {
namespace {

std::atomic<bool> stop_requested{false};  // a signal handler can only reach what is global

std::atomic<int64_t>* signalled = nullptr;

std::atomic<bool> interrupted{false};

void on_interrupt(int) { interrupted = true; }

void on_signal(int) {
  if (signalled) *signalled = steady_now();
  if (stop_requested.exchange(true)) _exit(kStopped);
}

// A page of a mapped file (weights, shards) that is no longer there. What a handler may call is
// little: the line is ready made.
void on_bus_error(int) {
  constexpr char line[] =
      "FATAL code=74 cause=\"a weight or shard file was cut short or could not be read while it was in use\" "
      "hint=\"look at the disk, do not write into files of a run, then start again to resume\"\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line, sizeof line - 1);
  _exit(kIoError);
}

}  // namespace

void explain_bus_errors() {
  struct sigaction action = {};
  action.sa_handler = on_bus_error;
  sigaction(SIGBUS, &action, nullptr);
}

const std::atomic<bool>& stop_on_signals(std::atomic<int64_t>* when) {
  signalled = when;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaction(signal, &action, nullptr);
  return stop_requested;
}

std::atomic<bool>& flag_on_interrupt() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);  // without SA_RESTART: the read ends
  return interrupted;
}

}  // namespace lathe
