#include "launch/signals.h"

#include <csignal>
#include <unistd.h>

#include "launch/exit_codes.h"

namespace lathe {
namespace {

std::atomic<bool> stop_requested{false};  // a signal handler can only reach what is global

std::atomic<bool> interrupted{false};

void on_interrupt(int) { interrupted = true; }

void on_signal(int) {
  if (stop_requested.exchange(true)) _exit(kStopped);
}

}  // namespace

const std::atomic<bool>& stop_on_signals() {
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
