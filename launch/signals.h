#pragma once

#include <atomic>

namespace lathe {

// From now on the first SIGTERM, SIGINT or SIGUSR1 sets the returned flag: ranks agree on it at the next step, save and
// exit with kStopped. The second ends the process at once.
const std::atomic<bool>& stop_on_signals();

// From now on a mapped file that vanishes under the process (SIGBUS) ends it with a FATAL line and kIoError.
void explain_bus_errors();

}  // namespace lathe
