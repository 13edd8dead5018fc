#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <string>
#include <vector>

// Where the threads of one run_local meet, and what they know of each other's end. Only
// local_group.cpp uses it.
namespace lathe {

// Who has failed and who has left. What is once true here stays true.
class LocalWorld {
 public:
  explicit LocalWorld(int ranks) : left_(ranks, false) {}

  // From the rank's own thread, as its last act. Both wake every waiting peer.
  void leave(int rank);
  void fail(int rank, std::exception_ptr error);

  // Once all threads have ended: throws the first error that was not PeerLost, else the first, if
  // there was any.
  void rethrow() const;

 private:
  friend class MeetingPoint;
  // Empty while the members can still meet. The lock is held.
  std::string why_broken(std::span<const int> members) const;
  bool broken(std::span<const int> members) const;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> left_;
  std::string failure_;
  std::exception_ptr first_error_, first_peer_lost_;
};

// A barrier of the members (world ranks) of one group.
class MeetingPoint {
 public:
  MeetingPoint(LocalWorld& world, int size) : world_(world), size_(size) {}

  // Returns when all are there. Throws PeerLost when a rank of the world has failed or a member has
  // left, and then at every member: either all return or all throw. So a member that returned knows
  // that nobody will go away before part.
  void meet(std::span<const int> members);
  // A second barrier, after meet returned, that no failure interrupts: peers may still be reading
  // this rank's memory.
  void part();
  // From any thread: nobody meets here any more. Who waits, or comes, throws PeerLost with this
  // reason; members that are all there already go on and part.
  void abandon(const std::string& why);

 private:
  // Counts this rank in; true once all are there, false when `broken` comes first.
  template <class Broken>
  bool arrive(std::unique_lock<std::mutex>& lock, Broken broken);

  LocalWorld& world_;
  const int size_;
  std::string abandoned_;  // why; under the world's lock
  int arrived_ = 0;
  std::atomic<uint64_t> turn_ = 0;
};

}  // namespace lathe
