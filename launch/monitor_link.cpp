#include "launch/monitor_link.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <sstream>

#include "launch/exit_codes.h"

namespace lathe {
namespace {

constexpr int kConnectMs = 1000, kLeaveMs = 1000;

// 'T' in /proc: stopped by a signal.
bool is_stopped(pid_t pid) {
  char path[64], text[512] = "";
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  std::FILE* file = std::fopen(path, "r");
  if (!file) return false;
  text[std::fread(text, 1, sizeof text - 1, file)] = '\0';
  std::fclose(file);
  const char* end = std::strrchr(text, ')');  // of the name, which may hold anything
  return end && end[1] && end[2] == 'T';
}

// -1: nobody there.
int connect_to(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return -1;
  const int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (file < 0) return -1;
  int error = connect(file, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd wait{file, POLLOUT, 0};
    socklen_t length = sizeof error;
    if (poll(&wait, 1, kConnectMs) != 1 || getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = ETIMEDOUT;
  }
  if (error == 0) {
    const int yes = 1;
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return file;
  }
  close(file);
  return -1;
}

// hub: "port address address ..."
int connect_to_one_of(const std::string& hub) {
  std::istringstream in(hub);
  int port = 0;
  in >> port;
  for (std::string host; in >> host;) {
    if (const int file = connect_to(host, port); file >= 0) return file;
  }
  return -1;
}

Calls calls_of(const CollectiveLog& log) {
  Calls calls;
  calls.ended = log.ended;
  calls.begun = log.begun;
  calls.last = log.record(calls.begun);
  return calls;
}

// Those of the ranks that wait in the same collective of this thread as the first that waits in one; "": none.
std::string waiting_text(const std::vector<Beat>& beats, Calls Beat::* thread, const char* where) {
  std::vector<Beat> waiting;
  for (const Beat& beat : beats) {
    const Calls& calls = beat.*thread;
    if (!calls.waits()) continue;
    const Calls& first = waiting.empty() ? calls : waiting[0].*thread;
    if (std::strcmp(calls.last.name, first.last.name) == 0 && calls.begun == first.begun) waiting.push_back(beat);
  }
  if (waiting.empty()) return "";
  const CollectiveRecord& last = (waiting[0].*thread).last;
  return fmt::format("{} wait{}{} in {} over {} (no. {}, {} bytes) of step {}", ranks_text(waiting), waiting.size() == 1 ? "s" : "", where, last.name,
                     last.axis, last.number, last.bytes, last.step);
}

}  // namespace

Beat beat_of(const WatchPage& page, int rank, pid_t pid, int64_t now) {
  const RankLog& log = page.log;
  Beat beat{.rank = rank, .run_id = page.run_id, .pid = pid, .phase = log.phase, .step = log.step};
  beat.own = calls_of(log.own);
  beat.beside = calls_of(log.beside);
  beat.idle = now - log.moved;
  beat.waited = log.waited;
  if (is_stopped(pid)) beat.state = RankState::kStopped;
  gethostname(beat.host, sizeof beat.host - 1);
  return beat;
}

std::string killed_text(int signal) { return fmt::format("killed by signal {} ({})", signal, strsignal(signal)); }

std::string hang_text(const Beat& beat) {
  return fmt::format("{}, without progress for {} s in phase {}", beat.state == RankState::kStopped ? "hangs: stopped by a signal" : "hangs",
                     beat.idle / 1'000'000'000, kPhaseNames[static_cast<size_t>(beat.phase)]);
}

std::string ranks_text(const std::vector<Beat>& beats) {
  std::string text;
  for (const Beat& beat : beats) text += fmt::format("{}{}", text.empty() ? "" : ", ", beat.rank);
  return (beats.size() == 1 ? "rank " : "ranks ") + text;
}

std::string waiting_text(const std::vector<Beat>& beats) {
  const std::string own = waiting_text(beats, &Beat::own, ""), beside = waiting_text(beats, &Beat::beside, " beside the pass");
  if (own.empty() && beside.empty()) return "no rank waits in a collective";
  return own + (own.empty() || beside.empty() ? "" : ", ") + beside;
}

std::string fatal_line(const Beat& culprit, const std::string& cause) {
  return fmt::format("FATAL code={} rank={} host={} step={} cause=\"{}\" hint=\"lathe postmortem OUTPUT_DIR tells more; start again to resume\"",
                     static_cast<int>(kPeerLost), culprit.rank, culprit.host, culprit.step, cause);
}

Link::Link(const std::string& hub, int64_t run_id, int64_t now) : hub_(hub), box_(connect_to_one_of(hub)), heard_(now) {
  if (box_.file() < 0) return;
  Beat hello{.rank = -1, .run_id = run_id};
  send(hello, now);
}

// The other side hears everything before it sees the end: so it is waited for.
Link::~Link() {
  if (box_.file() < 0) return;
  shutdown(box_.file(), SHUT_WR);
  pollfd wait{box_.file(), POLLIN, 0};
  while (poll(&wait, 1, kLeaveMs) == 1 && box_.read_all([](const Answer&) {})) {
  }
  close(box_.file());
}

void Link::send(const Beat& beat, int64_t now) {
  sent_ = now;
  told_ = beat.state;
  // A full buffer means that nobody reads: that shows in what is heard.
  [[maybe_unused]] const ssize_t sent = ::send(box_.file(), &beat, sizeof beat, MSG_NOSIGNAL | MSG_DONTWAIT);
}

Link::News Link::tick(const Beat& beat, int64_t now, double timeout_seconds) {
  News news;
  if (box_.file() < 0) {
    news.lost = fmt::format("its monitor can not be reached over TCP at one of `{}`; open the network between the hosts, or set "
                            "parallel.heartbeat_timeout=0",
                            hub_);
    return news;
  }
  if (now - sent_ > kBeatInterval || beat.state != told_) send(beat, now);
  const bool there = box_.read_all([&](const Answer& answer) {
    heard_ = now;
    host_ = answer.host;
    if (answer.kind == Answer::Kind::kVerdict) news.verdict = answer.text;
    if (answer.kind == Answer::Kind::kOver) news.over = true;
  });
  if (!news.verdict.empty() || news.over) return news;
  if (!there) news.lost = "lost: killed with its monitor, or its host went down";
  else if (static_cast<double>(now - heard_) / 1e9 > timeout_seconds)
    news.lost = fmt::format("its host was silent for {:.0f} s", timeout_seconds);
  return news;
}

}  // namespace lathe
