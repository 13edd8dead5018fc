#include "launch/monitor_hub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace lathe {
namespace {

constexpr double kSecond = 1e9;
// So long after a rank is lost the others may come to where they wait for it.
constexpr int64_t kArrivalGrace = 1'500'000'000;
// A rank whose peers wait for it more than this share of the time is told of.
constexpr double kSlowShare = 1.0 / 3;

void say(const std::string& text) {
  const std::string line = text + "\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

Hub::Hub(const WatchPage& page, int listener)
    : page_(page), listener_(listener), peers_(static_cast<size_t>(page.size)), waited_before_(peers_.size()) {
  const int64_t now = steady_now();
  for (size_t rank = 0; rank < peers_.size(); ++rank) {
    peers_[rank].heard = now;
    peers_[rank].beat.rank = static_cast<int32_t>(rank);
    std::snprintf(peers_[rank].beat.host, sizeof Beat::host, "?");
  }
  window_begin_ = now;
}

void Hub::add_waits(std::vector<pollfd>& waits) const {
  waits.push_back({listener_, POLLIN, 0});
  for (const Guest& guest : guests_) waits.push_back({guest.box.file(), POLLIN, 0});
}

void Hub::hear(int64_t now) {
  for (int file; (file = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) guests_.push_back({Mailbox<Beat>(file), -1});
  for (size_t i = 0; i < guests_.size();) {
    Guest& guest = guests_[i];
    bool known = true;
    const bool there = guest.box.read_all([&](const Beat& beat) {
      known = known && beat.run_id == page_.run_id && beat.rank < page_.size;
      if (!known || beat.rank < 1) return;
      guest.rank = beat.rank;
      Peer& peer = peers_[static_cast<size_t>(beat.rank)];
      if (beat.state != RankState::kStopped) peer.stopped_since = 0;
      else if (peer.stopped_since == 0) peer.stopped_since = now;
      peer.beat = beat;
      peer.beat.host[sizeof beat.host - 1] = '\0';
      peer.heard = now;
      peer.came = true;
    });
    if (there && known) {
      ++i;
      continue;
    }
    if (guest.rank > 0) peers_[static_cast<size_t>(guest.rank)].closed = true;
    close(guest.box.file());
    guests_.erase(guests_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void Hub::answer(Answer::Kind kind, const std::string& text) {
  Answer answer{.kind = kind};
  gethostname(answer.host, sizeof answer.host - 1);
  std::snprintf(answer.text, sizeof answer.text, "%s", text.c_str());
  for (const Guest& guest : guests_) {
    [[maybe_unused]] const ssize_t sent = send(guest.box.file(), &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

Hub::News Hub::tick(const Beat& own, int64_t now) {
  Peer& self = peers_[0];
  if (own.state != RankState::kStopped) self.stopped_since = 0;
  else if (self.stopped_since == 0) self.stopped_since = now;
  self.beat = own;
  self.heard = now;
  self.came = true;
  hear(now);
  if (now - answered_ > kBeatInterval) {
    answer(Answer::Kind::kBeat, "");
    answered_ = now;
  }
  News news;
  news.all_gone = true;
  for (size_t rank = 0; rank < peers_.size(); ++rank) {
    if (peers_[rank].beat.state == RankState::kFailed) news.failed = true;
    if (rank > 0 && !peers_[rank].gone()) news.all_gone = false;
  }
  if (news.failed) return news;
  if (const std::optional<Suspect> found = suspect(now)) {
    if (suspected_ == 0) suspected_ = now;
    const std::vector<Beat> rest = others(found->rank);
    const bool all_wait = std::all_of(rest.begin(), rest.end(), [](const Beat& beat) { return beat.waits(); });
    if (all_wait || now - suspected_ > kArrivalGrace)
      news.line = fatal_line(peers_[static_cast<size_t>(found->rank)].beat, found->text + "; " + waiting_text(rest));
    return news;
  }
  suspected_ = 0;
  tell_of_late(now);
  tell_of_slow(now);
  return news;
}

// Those that live and work.
std::vector<Beat> Hub::others(int rank) const {
  std::vector<Beat> beats;
  for (const Peer& peer : peers_) {
    if (peer.beat.rank != rank && peer.came && !peer.closed && peer.beat.state == RankState::kRunning) beats.push_back(peer.beat);
  }
  return beats;
}

std::optional<Hub::Suspect> Hub::suspect(int64_t now) const {
  for (const Peer& peer : peers_) {
    if (peer.beat.state == RankState::kKilled)
      return Suspect{peer.beat.rank, killed_text(peer.beat.code) + " in phase " + kPhaseNames[static_cast<size_t>(peer.beat.phase)]};
  }
  for (const Peer& peer : peers_) {
    if (!peer.gone() && peer.closed) return Suspect{peer.beat.rank, "lost: killed with its monitor, or its host went down"};
  }
  const double limit = page_.heartbeat_timeout * kSecond;
  for (const Peer& peer : peers_) {
    if (peer.gone()) continue;
    const auto silent = static_cast<double>(now - peer.heard);
    if (silent > limit && peer.came) return Suspect{peer.beat.rank, fmt::format("hangs: it or its host was silent for {:.0f} s", silent / kSecond)};
    if (silent > 2 * limit) {
      return Suspect{peer.beat.rank, "its monitor did not come over TCP; open the network between the hosts, or set parallel.heartbeat_timeout=0"};
    }
    if (peer.stopped_since > 0 && static_cast<double>(now - peer.stopped_since) > limit) return Suspect{peer.beat.rank, hang_text(peer.beat)};
  }
  return suspect_of_hang();
}

// Of ranks that make no progress, the one that the others wait for.
std::optional<Hub::Suspect> Hub::suspect_of_hang() const {
  const Peer* last = nullptr;
  bool late = false;
  for (const Peer& peer : peers_) {
    if (peer.gone() || !peer.came) continue;
    if (!last || std::pair(peer.beat.begun(), peer.beat.waits()) < std::pair(last->beat.begun(), last->beat.waits())) last = &peer;
  }
  for (const Peer& peer : peers_) {
    const double limit = page_.timeouts[static_cast<size_t>(peer.beat.phase)] * kSecond;
    if (!peer.gone() && peer.came && limit > 0 && static_cast<double>(peer.beat.idle) > limit) late = true;
  }
  if (!late || !last) return std::nullopt;
  // It may have come just now, after the others waited long.
  const double limit = page_.timeouts[static_cast<size_t>(last->beat.phase)] * kSecond;
  if (limit <= 0 || static_cast<double>(last->beat.idle) < limit) return std::nullopt;
  return Suspect{last->beat.rank, hang_text(last->beat)};
}

void Hub::tell_of_late(int64_t now) {
  const double limit = page_.heartbeat_timeout / 2 * kSecond;
  int64_t newest = 0;
  for (const Peer& peer : peers_) newest = std::max(newest, peer.beat.begun());
  std::vector<Beat> waiting, late;
  for (const Peer& peer : peers_) {
    if (!peer.came || peer.gone()) return;
    if (peer.beat.phase == Phase::kStart) return;  // raw files are prepared
    const bool waits = peer.beat.begun() == newest && peer.beat.waits();
    if (waits && static_cast<double>(peer.beat.idle + now - peer.heard) < limit) return;
    (waits && peer.beat.state != RankState::kStopped ? waiting : late).push_back(peer.beat);
  }
  if (waiting.empty() || late.empty() || newest == told_late_) return;
  told_late_ = newest;
  std::string where;
  for (const Beat& beat : late)
    where += fmt::format("{}host {}, phase {}{}", where.empty() ? "" : "; ", beat.host, kPhaseNames[static_cast<size_t>(beat.phase)],
                         beat.state == RankState::kStopped ? ", stopped by a signal" : "");
  say(fmt::format("late: {} ({}): {}, for {:.0f} s now", ranks_text(late), where, waiting_text(waiting), static_cast<double>(waiting[0].idle) / kSecond));
}

// A rank that is slow in every step.
void Hub::tell_of_slow(int64_t now) {
  const auto window = static_cast<double>(now - window_begin_);
  if (window < 2 * page_.heartbeat_timeout * kSecond) return;
  std::vector<std::pair<double, size_t>> shares;
  for (size_t rank = 0; rank < peers_.size(); ++rank) {
    const Beat& beat = peers_[rank].beat;
    if (!peers_[rank].came || (beat.phase != Phase::kStep && beat.phase != Phase::kData)) return;
    shares.emplace_back(static_cast<double>(beat.waited - waited_before_[rank]) / window, rank);
  }
  const bool measured = window < 4 * page_.heartbeat_timeout * kSecond;
  for (size_t rank = 0; rank < peers_.size(); ++rank) waited_before_[rank] = peers_[rank].beat.waited;
  window_begin_ = now;
  std::sort(shares.begin(), shares.end());
  const auto [least, slow] = shares[0];
  const double usual = shares[(shares.size() + 1) / 2].first;  // the median of the others
  if (!measured || usual - least < kSlowShare || told_slow_ == static_cast<int>(slow)) return;
  told_slow_ = static_cast<int>(slow);
  say(fmt::format("slow: rank {} (host {}): the others waited {:.0f} % of the last {:.0f} s for it", slow, peers_[slow].beat.host,
                  100 * (usual - least), window / kSecond));
}

void Hub::spread(const std::string& line) {
  answer(line.empty() ? Answer::Kind::kOver : Answer::Kind::kVerdict, line);
  // The others end first: a launcher that sees one end kills the rest.
  const int64_t end = steady_now() + 1'000'000'000;
  while (!guests_.empty() && steady_now() < end) {
    std::vector<pollfd> waits;
    add_waits(waits);
    poll(waits.data(), waits.size(), 50);
    hear(steady_now());
  }
}

}  // namespace lathe
