#include "parallel/background.h"

#include <ATen/Parallel.h>
#include <c10/core/StreamGuard.h>
#include <omp.h>

#include "parallel/logged_group.h"

namespace lathe {
namespace {

// The cores are for the passes. ATen's own setter would speak for the whole process.
void use_one_thread() {
  at::get_num_threads();  // or ATen would put its number in place of ours at its first call
  omp_set_num_threads(1);
}

}  // namespace

Background::Background(std::unique_ptr<Group> group)
    : group_(std::move(group)), log_(log_of(*group_)), thread_([this] { run(); }) {}

Background::~Background() {
  if (std::uncaught_exceptions() > 0) group_->abandon("gave up");
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

int64_t Background::give(std::function<void(Group&)> work) {
  Piece piece{.work = std::move(work), .given = StreamPoint::here(group_->device())};
  const std::lock_guard lock(mutex_);
  left_.push_back(std::move(piece));
  changed_.notify_all();
  return ++given_;
}

void Background::wait(int64_t piece) {
  const int64_t begin = steady_now();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ >= piece; });
  if (log_ != nullptr) log_->waited += steady_now() - begin;
  if (failed_ > 0 && failed_ <= piece) std::rethrow_exception(error_);
  const auto end = ends_.find(piece);
  if (end == ends_.end()) return;
  end->second.wait_here();
  ends_.erase(ends_.begin(), std::next(end));
}

void Background::run() {
  const at::NoGradGuard no_grad;
  use_one_thread();
  const c10::OptionalStreamGuard on_side_stream(side_stream(group_->device()));
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stops_ || !left_.empty(); });
    if (left_.empty()) return;
    Piece piece = std::move(left_.front());
    left_.pop_front();
    lock.unlock();
    Outcome outcome;
    if (failed_ == 0) outcome = carry_out(piece);  // only this thread writes it
    piece = {};                                    // what it held goes before it is said to be done
    lock.lock();
    ++done_;
    ends_.emplace(done_, std::move(outcome.end));
    if (outcome.error) {
      failed_ = done_;
      error_ = outcome.error;
    }
    changed_.notify_all();
  }
}

Background::Outcome Background::carry_out(const Piece& piece) const {
  try {
    piece.given.wait_here();
    piece.work(*group_);
    return {.end = StreamPoint::here(group_->device()), .error = nullptr};
  } catch (const PeerLost&) {  // the peers know
    return {.end = {}, .error = std::current_exception()};
  } catch (const std::exception& error) {
    group_->abandon(std::string("failed: ") + error.what());
    return {.end = {}, .error = std::current_exception()};
  }
}

}  // namespace lathe
