#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "parallel/group.h"
#include "parallel/rank_log.h"
#include "parallel/stream_point.h"

// A thread beside the rank's own that carries out pieces of work in the order in which they are
// given, on a group of its own: its calls never come between those of the rank's own thread. All
// ranks give the same pieces in the same order.
//
// On a GPU the pieces run on a stream of their own, behind what the giver's stream held when it
// gave them, and the stream of who waits goes on behind them.
namespace lathe {

class Background {
 public:
  explicit Background(std::unique_ptr<Group> group);
  // Carries out what is left; gives it up while an exception is on its way.
  ~Background();
  Background(const Background&) = delete;

  // Returns the piece's number. A piece that throws is the last one, here and at the peers.
  int64_t give(std::function<void(Group&)> work);
  // Until this piece, and so all before it, are carried out. Throws what one of them threw.
  void wait(int64_t piece);

 private:
  struct Piece {
    std::function<void(Group&)> work;
    StreamPoint given;
  };
  struct Outcome {
    StreamPoint end;
    std::exception_ptr error;
  };
  void run();
  Outcome carry_out(const Piece& piece) const;

  std::unique_ptr<Group> group_;
  RankLog* const log_;  // where the time of waiting is noted; may be null
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> left_;
  int64_t given_ = 0, done_ = 0;
  std::map<int64_t, StreamPoint> ends_;  // of pieces that nobody has waited for
  int64_t failed_ = 0;                   // the piece that threw; 0: none
  std::exception_ptr error_;
  bool stops_ = false;
  std::thread thread_;
};

}  // namespace lathe
