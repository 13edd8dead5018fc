#include "parallel/local_world.h"

#include <thread>

#include "parallel/group.h"

namespace lathe {
namespace {

// Some 20 us of looking before the thread sleeps. yield, as there may be more ranks than cores.
constexpr int kLooks = 64;

}  // namespace

void LocalWorld::leave(int rank) {
  const std::lock_guard lock(mutex_);
  left_[rank] = true;
  changed_.notify_all();
}

void LocalWorld::fail(int rank, std::exception_ptr error) {
  std::string message;
  bool peer_lost = false;
  try {
    std::rethrow_exception(error);
  } catch (const PeerLost& lost) {
    // It names the rank where the trouble began, which is not this one.
    message = lost.what();
    peer_lost = true;
  } catch (const std::exception& cause) {
    message = "rank " + std::to_string(rank) + " failed: " + cause.what();
  } catch (...) {
    message =
        "rank " + std::to_string(rank) + " failed: it threw something that is not a std::exception";
  }
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) failure_ = message;
  std::exception_ptr& first = peer_lost ? first_peer_lost_ : first_error_;
  if (!first) first = error;
  changed_.notify_all();
}

void LocalWorld::rethrow() const {
  if (first_error_) std::rethrow_exception(first_error_);
  if (first_peer_lost_) std::rethrow_exception(first_peer_lost_);
}

bool LocalWorld::broken(std::span<const int> members) const {
  if (!failure_.empty()) return true;
  for (int member : members) {
    if (left_[member]) return true;
  }
  return false;
}

std::string LocalWorld::why_broken(std::span<const int> members) const {
  if (!failure_.empty()) return failure_;
  for (int member : members) {
    if (left_[member])
      return "rank " + std::to_string(member) + " left while its peers were in a collective";
  }
  return "";
}

template <class Broken>
bool MeetingPoint::arrive(std::unique_lock<std::mutex>& lock, Broken broken) {
  const uint64_t turn = turn_.load(std::memory_order_relaxed);
  if (++arrived_ == size_) {
    arrived_ = 0;
    turn_.store(turn + 1, std::memory_order_release);
    world_.changed_.notify_all();
    return true;
  }
  lock.unlock();
  for (int look = 0; look < kLooks; ++look) {
    if (turn_.load(std::memory_order_acquire) != turn) return true;
    std::this_thread::yield();
  }
  lock.lock();
  world_.changed_.wait(lock, [&] { return turn_.load() != turn || broken(); });
  return turn_.load() != turn;
}

void MeetingPoint::meet(std::span<const int> members) {
  std::unique_lock lock(world_.mutex_);
  const auto broken = [&] { return !abandoned_.empty() || world_.broken(members); };
  // Looking and counting happen under one lock, and broken stays broken: after one member has given
  // up, no other can complete the count.
  if (!broken() && arrive(lock, broken)) return;
  const std::string why = world_.why_broken(members);
  throw PeerLost(why.empty() ? abandoned_ : why);
}

void MeetingPoint::abandon(const std::string& why) {
  const std::lock_guard lock(world_.mutex_);
  if (abandoned_.empty()) abandoned_ = why;
  world_.changed_.notify_all();
}

void MeetingPoint::part() {
  std::unique_lock lock(world_.mutex_);
  arrive(lock, [] { return false; });
}

}  // namespace lathe
