#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

// What one rank is doing and its last collectives, as plain memory: another process that maps it reads it at any time,
// also when the rank is stopped or dead. To note a collective is a few stores.
namespace lathe {

enum class Phase : int32_t { kStart, kData, kStep, kEval, kSave };
inline constexpr std::array<const char*, 5> kPhaseNames{"start", "data", "step", "eval", "save"};

// Of one machine, in nanoseconds; never set back.
inline int64_t steady_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct CollectiveRecord {
  int64_t number = 0;  // 1, 2, ...: equal at all ranks for the same collective
  int64_t bytes = 0, step = 0;
  int64_t begin = 0, end = 0;  // steady_now(); end 0: not over
  Phase phase = Phase::kStart;
  char name[16] = "", axis[12] = "";  // axis: world, dp, tp
};

// The last collectives of one thread of a rank, which alone writes here.
struct CollectiveLog {
  static constexpr int64_t kRecords = 1024;

  std::atomic<int64_t> begun{0}, ended{0};
  std::array<CollectiveRecord, kRecords> records{};

  CollectiveRecord& record(int64_t number) { return records[static_cast<size_t>(number % kRecords)]; }
  const CollectiveRecord& record(int64_t number) const { return records[static_cast<size_t>(number % kRecords)]; }
};

struct RankLog {
  std::atomic<Phase> phase{Phase::kStart};
  std::atomic<int64_t> step{0};
  std::atomic<int64_t> moved{0};   // when anything changed last
  std::atomic<int64_t> waited{0};  // nanoseconds for which peers kept the rank's own thread, of the whole run
  // Those of the rank's own thread, and of the one beside it (parallel/background.h).
  CollectiveLog own, beside;

  void enter(Phase now, int64_t at_step) {
    phase = now;
    step = at_step;
    moved = steady_now();
  }
  void begin(CollectiveLog& log, const char* name, const char* axis, int64_t bytes) {
    const int64_t number = log.begun + 1, now = steady_now();
    CollectiveRecord next{.number = number, .bytes = bytes, .step = step, .begin = now, .phase = phase};
    std::strncpy(next.name, name, sizeof next.name - 1);
    std::strncpy(next.axis, axis, sizeof next.axis - 1);
    log.record(number) = next;
    moved = now;
    log.begun = number;
  }
  void end(CollectiveLog& log) {
    const int64_t number = log.begun, now = steady_now();
    log.record(number).end = now;
    if (&log == &own) waited += now - log.record(number).begin;
    moved = now;
    log.ended = number;
  }
};

}  // namespace lathe
