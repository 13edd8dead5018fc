#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

// Calls make() over and over on a thread of its own and keeps up to `ahead` results. What make
// throws is thrown by next(), in its place, and again by every later call. Destruction waits for
// the make() that runs, never for a consumer.
namespace lathe {

template <typename T>
class Prefetch {
 public:
  Prefetch(int ahead, std::function<T()> make)
      : ahead_(static_cast<size_t>(ahead)), make_(std::move(make)), thread_([this] { run(); }) {}
  ~Prefetch() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  T next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ready_.empty() || failure_; });
    if (ready_.empty()) std::rethrow_exception(failure_);
    T result = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return result;
  }

 private:
  void run() {
    try {
      while (wait_for_room()) {
        T result = make_();
        const std::lock_guard lock(mutex_);
        ready_.push_back(std::move(result));
        changed_.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
      changed_.notify_all();
    }
  }

  bool wait_for_room() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stop_ || ready_.size() < ahead_; });
    return !stop_;
  }

  const size_t ahead_;
  const std::function<T()> make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> ready_;
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace lathe
