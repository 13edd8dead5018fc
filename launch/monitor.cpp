#include "launch/monitor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "launch/exit_codes.h"
#include "launch/monitor_hub.h"
#include "launch/monitor_link.h"
#include "launch/postmortem_file.h"
#include "launch/watch_page.h"

namespace lathe {
namespace {

constexpr int kTickMs = 50;
constexpr int64_t kMs = 1'000'000, kSecond = 1'000 * kMs;
// How long a signal to the whole process group may take to the rank before the monitor passes its own on.
constexpr int64_t kSignalGrace = 100 * kMs;
// A rank that failed with a message of its own ends the world itself; this long it may take.
constexpr int64_t kOwnEndGrace = 3 * kSecond;

class Monitor {
 public:
  Monitor(int rank, pid_t child, WatchPage& page, int listener, int signals)
      : rank_(rank), child_(child), page_(page), listener_(listener), signals_(signals) {}

  int run() {
    while (true) {
      wait_for_news();
      read_signals();
      reap();
      if (!page_.configured || page_.heartbeat_timeout <= 0) {
        // A signal that asks for an end is not a loss.
        if (killed() && WTERMSIG(status_) != SIGTERM && WTERMSIG(status_) != SIGINT && WTERMSIG(status_) != SIGUSR1) {
          return end_world(fatal_line(beat(steady_now()), killed_text(WTERMSIG(status_))), true);
        }
        if (ended_) return code();
        continue;
      }
      const int64_t now = steady_now();
      if (!page_.linked) {
        if (const std::string fault = fault_alone(now); !fault.empty()) return end_world(fatal_line(beat(now), fault), true);
      } else if (rank_ == 0) {
        if (!hub_) hub_.emplace(page_, listener_);
        const Hub::News news = hub_->tick(beat(now), now);
        if (!news.line.empty()) return end_world(news.line, true);
        if (news.failed && failed_at_ == 0) failed_at_ = now;
        if (news.failed && now - failed_at_ > kOwnEndGrace) return end_world("", false);
        if (ended_ && news.all_gone) return code();
        continue;
      } else if (const std::optional<int> end = follow(now)) {
        return *end;
      }
      if (ended_ && !killed()) return code();
    }
  }

 private:
  void wait_for_news() {
    std::vector<pollfd> waits{{signals_, POLLIN, 0}};
    if (hub_) hub_->add_waits(waits);
    if (link_) waits.push_back({link_->file(), POLLIN, 0});
    poll(waits.data(), waits.size(), kTickMs);
  }

  // A launcher may signal the whole group, then the rank has it already; else it is passed on.
  void read_signals() {
    signalfd_siginfo info;
    const int64_t now = steady_now();
    while (read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD) pending_.push_back({static_cast<int>(info.ssi_signo), now});
    }
    while (!pending_.empty() && now - pending_.front().at >= kSignalGrace) {
      if (!ended_ && page_.signalled < pending_.front().at - kSignalGrace) kill(child_, pending_.front().signal);
      pending_.erase(pending_.begin());
    }
  }

  void reap() {
    if (!ended_ && waitpid(child_, &status_, WNOHANG) == child_) ended_ = true;
  }

  bool killed() const { return ended_ && WIFSIGNALED(status_); }
  int code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_); }

  Beat beat(int64_t now) const {
    Beat beat = beat_of(page_, rank_, child_, now);
    if (ended_) {
      beat.state = killed() ? RankState::kKilled : code() == kDone || code() == kStopped ? RankState::kDone : RankState::kFailed;
      beat.code = killed() ? WTERMSIG(status_) : code();
    }
    return beat;
  }

  // Before the ranks have met, each is on its own.
  std::string fault_alone(int64_t now) const {
    if (killed()) return killed_text(WTERMSIG(status_)) + " before the ranks had met";
    const double limit = page_.timeouts[0], passed = static_cast<double>(now - page_.log.moved) / kSecond;
    if (limit > 0 && passed > limit) return hang_text(beat(now)) + "; the ranks have not met: look at the launcher and the network";
    return "";
  }

  // What a monitor that is not rank 0's does.
  std::optional<int> follow(int64_t now) {
    if (!link_) link_.emplace(page_.hub, page_.run_id, now);
    const Link::News news = link_->tick(beat(now), now, page_.heartbeat_timeout);
    if (!news.verdict.empty()) return end_world(news.verdict, false);
    if (news.over) return end_world("", false);
    if (!news.lost.empty()) {
      if (ended_ && !killed()) return code();
      const bool speaks = rank_ == 1;  // of those that are left, one
      Beat hub{};
      hub.rank = 0;
      hub.step = page_.log.step;
      std::snprintf(hub.host, sizeof hub.host, "%s", link_->hub_host().c_str());
      return end_world(fatal_line(hub, news.lost + "; " + waiting_text({beat(now)})), speaks);
    }
    return std::nullopt;
  }

  int end_world(const std::string& line, bool speaks) {
    if (speaks && !line.empty()) {
      const std::string whole = line + "\n";
      [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, whole.data(), whole.size());
    }
    const Beat last = beat(steady_now());
    const bool own = ended_ && !killed();  // it had an end of its own
    if (!ended_) {
      kill(child_, SIGKILL);
      waitpid(child_, &status_, 0);
      ended_ = true;
    }
    if (!line.empty() && page_.output_dir[0]) write_postmortem(page_, last, line);
    if (hub_) hub_->spread(line);
    return own && code() != kDone ? code() : static_cast<int>(kPeerLost);
  }

  struct Signal {
    int signal;
    int64_t at;
  };

  int rank_;
  pid_t child_;
  WatchPage& page_;
  int listener_, signals_;
  std::vector<Signal> pending_;
  bool ended_ = false;
  int status_ = 0;
  int64_t failed_at_ = 0;
  std::optional<Hub> hub_;    // of rank 0
  std::optional<Link> link_;  // of the others
};

int open_listener(WatchPage& page) {
  const int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t length = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (file < 0 || bind(file, plain, length) != 0 || listen(file, 1024) != 0 || getsockname(file, plain, &length) != 0) return -1;
  page.port = ntohs(address.sin_port);
  return file;
}

}  // namespace

std::optional<int> watch_over_rank(int rank) {
  const int shared = memfd_create("lathe-watch", 0);  // in memory only: nothing is left behind
  if (shared < 0 || ftruncate(shared, sizeof(WatchPage)) != 0) return std::nullopt;
  void* memory = mmap(nullptr, sizeof(WatchPage), PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
  if (memory == MAP_FAILED) return std::nullopt;
  auto* page = ::new (memory) WatchPage;
  page->log.moved = steady_now();
  const int listener = rank == 0 ? open_listener(*page) : -1;

  sigset_t watched, before;
  sigemptyset(&watched);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&watched, signal);
  sigprocmask(SIG_BLOCK, &watched, &before);
  const pid_t monitor = getpid(), child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != monitor) _exit(kPeerLost);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    if (listener >= 0) close(listener);
    setenv(kWatchVariable, std::to_string(shared).c_str(), 1);
    return std::nullopt;
  }
  if (child < 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    return std::nullopt;
  }
  close(shared);
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_NAME, "lathe-monitor");
  return Monitor(rank, child, *page, listener, signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC)).run();
}

}  // namespace lathe
