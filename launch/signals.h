#pragma once

#include <atomic>
#include <cstdint>

namespace lathe {

// From now on the first SIGTERM, SIGINT or SIGUSR1 sets the returned flag: ranks agree on it at the next step, save and
// exit with kStopped. The second ends the process at once. when: told the time of the
// last, by steady_now().
const std::atomic<bool>& stop_on_signals(std::atomic<int64_t>* when = nullptr);

// From now on SIGINT sets the returned flag, however often it comes, and a read from the terminal that waits returns. Whoever
// saw it clears it.
std::atomic<bool>& flag_on_interrupt();

// From now on a mapped file that vanishes under the process (SIGBUS) ends it with a FATAL line and kIoError.
void explain_bus_errors();

}  // namespace lathe
