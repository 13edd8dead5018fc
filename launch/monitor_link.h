#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "launch/watch_page.h"

// What monitors tell each other, and the connection of one of them to rank 0's. All of one build: plain structs.
namespace lathe {

enum class RankState : int32_t { kRunning, kStopped, kDone, kFailed, kKilled };

// How far one thread of a rank is with its collectives.
struct Calls {
  int64_t begun = 0, ended = 0;
  CollectiveRecord last{};

  bool waits() const { return begun > ended; }
};

struct Beat {
  uint32_t magic = 0x6c617468;
  int32_t rank = 0;
  int64_t run_id = 0;
  RankState state = RankState::kRunning;
  int32_t code = 0;  // the exit code, or the signal
  int32_t pid = 0;
  Phase phase = Phase::kStart;
  int64_t step = 0;
  int64_t idle = 0, waited = 0;  // nanoseconds: since anything changed; for its peers
  Calls own{}, beside{};         // of the rank's own thread, and of the one beside it
  char host[64] = "";

  bool waits() const { return own.waits() || beside.waits(); }
  // Of ranks that all stand still, the one that the others wait for has begun least.
  int64_t begun() const { return own.begun + beside.begun; }
};

struct Answer {
  enum class Kind : int32_t { kBeat, kVerdict, kOver };
  uint32_t magic = 0x6c617468;
  Kind kind = Kind::kBeat;
  char host[64] = "";
  char text[2048] = "";
};

Beat beat_of(const WatchPage& page, int rank, pid_t pid, int64_t now);

std::string killed_text(int signal);
std::string hang_text(const Beat& beat);
// Which of these ranks wait in which collective.
std::string waiting_text(const std::vector<Beat>& beats);
// "rank 2", "ranks 0, 1, 3"
std::string ranks_text(const std::vector<Beat>& beats);
std::string fatal_line(const Beat& culprit, const std::string& cause);

// Messages of one size over a socket that does not block.
template <class Message>
class Mailbox {
 public:
  explicit Mailbox(int file = -1) : file_(file) {}
  int file() const { return file_; }
  // Whether the other side is there still. take(message) is called for each that came.
  template <class Take>
  bool read_all(Take take);

 private:
  int file_;
  size_t have_ = 0;
  Message message_{};
};

// To rank 0's monitor.
class Link {
 public:
  Link(const std::string& hub, int64_t run_id, int64_t now);
  ~Link();
  Link(const Link&) = delete;

  struct News {
    std::string verdict;  // the line that rank 0's monitor printed
    std::string lost;     // what became of it
    bool over = false;    // a rank failed with a message of its own
  };
  News tick(const Beat& beat, int64_t now, double timeout_seconds);
  int file() const { return box_.file(); }
  const std::string& hub_host() const { return host_; }

 private:
  void send(const Beat& beat, int64_t now);

  std::string hub_;
  Mailbox<Answer> box_;
  int64_t heard_, sent_ = 0;
  RankState told_ = RankState::kRunning;
  std::string host_ = "?";
};

inline constexpr int64_t kBeatInterval = 200'000'000;  // nanoseconds

}  // namespace lathe

#include <sys/socket.h>

#include <cerrno>

namespace lathe {

template <class Message>
template <class Take>
bool Mailbox<Message>::read_all(Take take) {
  while (true) {
    const ssize_t n = recv(file_, reinterpret_cast<char*>(&message_) + have_, sizeof message_ - have_, MSG_DONTWAIT);
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    have_ += static_cast<size_t>(n);
    if (have_ < sizeof message_) continue;
    have_ = 0;
    if (message_.magic != Message{}.magic) return false;  // not one of ours
    take(message_);
  }
}

}  // namespace lathe
