#pragma once

#include <poll.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "launch/monitor_link.h"

// Rank 0's monitor: hears all ranks, and judges.
namespace lathe {

class Hub {
 public:
  Hub(const WatchPage& page, int listener);

  struct News {
    std::string line;       // the verdict
    bool failed = false;    // a rank ended with an error of its own
    bool all_gone = false;  // every other rank has ended
  };
  News tick(const Beat& own, int64_t now);
  // The verdict to all; "": the world is over without one.
  void spread(const std::string& line);
  void add_waits(std::vector<pollfd>& waits) const;

 private:
  struct Peer {
    Beat beat{};
    int64_t heard = 0, stopped_since = 0;
    bool came = false, closed = false;
    bool gone() const { return beat.state == RankState::kDone || beat.state == RankState::kFailed; }
  };
  struct Guest {
    Mailbox<Beat> box;
    int rank = -1;
  };
  struct Suspect {
    int rank = 0;
    std::string text;
  };

  void hear(int64_t now);
  void answer(Answer::Kind kind, const std::string& text);
  std::optional<Suspect> suspect(int64_t now) const;
  std::optional<Suspect> suspect_of_hang() const;
  std::vector<Beat> others(int rank) const;
  void tell_of_late(int64_t now);
  void tell_of_slow(int64_t now);

  const WatchPage& page_;
  int listener_;
  std::vector<Peer> peers_;  // by rank
  std::vector<Guest> guests_;
  int64_t answered_ = 0, suspected_ = 0, told_late_ = 0;
  int64_t window_begin_ = 0;
  int told_slow_ = -1;
  std::vector<int64_t> waited_before_;
};

}  // namespace lathe
