#pragma once

#include <atomic>
#include <array>
#include <cstdint>

#include "parallel/rank_log.h"

// The memory that a rank shares with its monitor (launch/monitor.h). The rank writes, the monitor reads.
namespace lathe {

struct WatchPage {
  RankLog log;
  // Before `configured`:
  double heartbeat_timeout = 0;           // seconds; 0: nobody watches
  std::array<double, 5> timeouts{};       // by phase, in seconds; 0: none
  char output_dir[2048] = "";
  std::atomic<bool> configured{false};
  // Before `linked`, which says that all ranks have met:
  int64_t run_id = 0;                     // the same on all ranks, another one at every start
  int32_t size = 0;
  char hub[1024] = "";                    // "port address address ...": where rank 0's monitor listens
  std::atomic<bool> linked{false};
  // When a signal last reached the rank itself, by steady_now().
  std::atomic<int64_t> signalled{0};
  // By the monitor: where it listens.
  int32_t port = 0;
};

inline constexpr const char* kWatchVariable = "LATHE_WATCH_FD";  // the environment's name for it

// This process's; null where no monitor watches it.
WatchPage* watch_page();

}  // namespace lathe
