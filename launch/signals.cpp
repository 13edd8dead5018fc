#include "launch/signals.h"

#include <csignal>
#include <unistd.h>

#include "launch/exit_codes.h"

namespace lathe {
namespace {

std::atomic<bool> stop_requested{false};  // a signal handler can only reach what is global

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

}  // namespace lathe
