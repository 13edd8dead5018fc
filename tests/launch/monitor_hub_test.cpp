// What rank 0's monitor makes of what the others tell, with a clock of the test's own: no rank runs.
#include "launch/monitor_hub.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <memory>

namespace lathe {
namespace {

using testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int kRanks = 3;

class MonitorHub : public testing::Test {
 protected:
  void SetUp() override {
    page_.heartbeat_timeout = 15;
    page_.timeouts = {3600, 600, 600, 1800, 1800};
    page_.run_id = 7;
    page_.size = kRanks;
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(listen(listener_, kRanks), 0);
    ASSERT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    now_ = steady_now();
    hub_ = std::make_unique<Hub>(page_, listener_);
    const std::string where = std::to_string(ntohs(address.sin_port)) + " 127.0.0.1";
    for (int rank = 1; rank < kRanks; ++rank) links_.push_back(std::make_unique<Link>(where, page_.run_id, now_));
    for (int rank = 0; rank < kRanks; ++rank) beats_[rank] = working(rank, 0);
    // Takes the connections.
    std::vector<pollfd> waits;
    while (waits.size() < kRanks) {
      pollfd wait{listener_, POLLIN, 0};
      poll(&wait, 1, -1);
      hub_->tick(beats_[0], now_);
      waits.clear();
      hub_->add_waits(waits);
    }
  }
  void TearDown() override {
    const auto leaving = std::async(std::launch::async, [&] { links_.clear(); });
    hub_->spread("");
    leaving.wait();
    close(listener_);
  }

  Beat working(int rank, int64_t idle_seconds) const {
    Beat beat{.rank = rank, .run_id = page_.run_id, .phase = Phase::kStep, .step = 5};
    beat.own = {.begun = 7, .ended = 7};
    beat.idle = idle_seconds * kSecond;
    std::snprintf(beat.host, sizeof beat.host, "node%d", rank);
    return beat;
  }
  Beat waiting(int rank, int64_t idle_seconds) const {
    Beat beat = working(rank, idle_seconds);
    wait_in(beat.own, "all_reduce", 8);
    return beat;
  }
  static void wait_in(Calls& calls, const char* name, int64_t number) {
    calls.begun = number;
    calls.ended = number - 1;
    calls.last = {.number = number, .bytes = 64, .step = 5, .phase = Phase::kStep};
    std::strcpy(calls.last.name, name);
    std::strcpy(calls.last.axis, "dp");
  }
  // Time goes on; all but the silent rank beat, and the hub has heard them. The verdict, if any.
  std::string after(int64_t seconds, int silent = -1) {
    now_ += seconds * kSecond;
    for (int rank = 1; rank < kRanks; ++rank) {
      if (rank != silent) links_[rank - 1]->tick(beats_[rank], now_, 1e9);
    }
    wait_for_messages(silent < 0 ? kRanks - 1 : kRanks - 2);
    const Hub::News news = hub_->tick(beats_[0], now_);
    return news.line;
  }

  // Until so many guests have sent something.
  void wait_for_messages(int guests) const {
    int ready = 0;
    while (ready < guests) {
      std::vector<pollfd> waits;
      hub_->add_waits(waits);
      poll(waits.data(), waits.size(), -1);
      ready = static_cast<int>(std::count_if(waits.begin() + 1, waits.end(), [](const pollfd& wait) { return wait.revents != 0; }));
    }
  }

  WatchPage page_;
  int listener_ = -1;
  int64_t now_ = 0;
  std::unique_ptr<Hub> hub_;
  std::vector<std::unique_ptr<Link>> links_;
  Beat beats_[kRanks];
};

TEST_F(MonitorHub, NamesTheRankThatBeatsButGoesNowhere) {
  EXPECT_EQ(after(1), "");
  beats_[0] = waiting(0, 700);
  beats_[2] = waiting(2, 700);
  beats_[1] = working(1, 599);
  EXPECT_EQ(after(1), "");
  beats_[1] = working(1, 601);
  const std::string line = after(1);
  EXPECT_THAT(line, HasSubstr("FATAL code=71 rank=1 host=node1 step=5"));
  EXPECT_THAT(line, HasSubstr("hangs, without progress for 601 s in phase step"));
  EXPECT_THAT(line, HasSubstr("ranks 0, 2 wait in all_reduce over dp (no. 8, 64 bytes) of step 5"));
}

// Two of them wait for the third's part of a sum, one of these in its own thread for something else besides.
TEST_F(MonitorHub, NamesWhatIsWaitedForBesideThePassToo) {
  EXPECT_EQ(after(1), "");
  for (const int rank : {0, 1}) {
    beats_[rank] = working(rank, 700);
    wait_in(beats_[rank].beside, "reduce_scatter", 3);
  }
  wait_in(beats_[0].own, "all_reduce", 8);
  beats_[2] = working(2, 700);
  beats_[2].beside = {.begun = 2, .ended = 2};
  const std::string line = after(1);
  EXPECT_THAT(line, HasSubstr("FATAL code=71 rank=2 host=node2 step=5"));
  EXPECT_THAT(line, HasSubstr("rank 0 waits in all_reduce over dp (no. 8, 64 bytes) of step 5, ranks 0, 1 wait beside the pass in reduce_scatter over dp "
                              "(no. 3, 64 bytes) of step 5"));
}

// What comes ahead for a unit does not hide that the pass hangs.
TEST_F(MonitorHub, NamesTheRankThatHangsInItsPass) {
  EXPECT_EQ(after(1), "");
  for (Beat& beat : beats_) beat.beside = {.begun = 3, .ended = 3};
  for (const int rank : {0, 2}) {
    beats_[rank].idle = 700 * kSecond;
    wait_in(beats_[rank].beside, "all_gather", 4);
  }
  beats_[1].idle = 700 * kSecond;
  EXPECT_THAT(after(1), HasSubstr("FATAL code=71 rank=1"));
}

TEST_F(MonitorHub, WaitsForARankThatCameJustNow) {
  beats_[0] = waiting(0, 700);
  beats_[2] = waiting(2, 700);
  beats_[1] = working(1, 1);
  EXPECT_EQ(after(1), "");
}

TEST_F(MonitorHub, TakesEachPhasesOwnDeadline) {
  beats_[0] = waiting(0, 1700);
  beats_[2] = waiting(2, 1700);
  beats_[1] = working(1, 1700);
  for (Beat& beat : beats_) beat.phase = Phase::kEval;
  EXPECT_EQ(after(1), "");
  for (Beat& beat : beats_) beat.idle = 1801 * kSecond;
  EXPECT_THAT(after(1), HasSubstr("rank=1"));
}

TEST_F(MonitorHub, HasNoDeadlineWhereThereIsNone) {
  page_.timeouts = {};
  for (int rank = 0; rank < kRanks; ++rank) beats_[rank] = working(rank, 1'000'000);
  EXPECT_EQ(after(1), "");
}

TEST_F(MonitorHub, NamesARankWhoseMonitorIsStopped) {
  EXPECT_EQ(after(1), "");
  EXPECT_EQ(after(15, 2), "");
  // The others may still come to where they wait for it.
  EXPECT_EQ(after(1, 2), "");
  EXPECT_THAT(after(2, 2), HasSubstr("FATAL code=71 rank=2 host=node2 step=5 cause=\"hangs: it or its host was silent for 18 s"));
}

TEST_F(MonitorHub, IsMissedWhenItIsSilentItself) {
  EXPECT_EQ(after(1), "");
  EXPECT_EQ(links_[0]->tick(beats_[1], now_, 15).lost, "");
  EXPECT_EQ(links_[0]->tick(beats_[1], now_ + 15 * kSecond, 15).lost, "");
  EXPECT_EQ(links_[0]->tick(beats_[1], now_ + 16 * kSecond, 15).lost, "its host was silent for 15 s");
}

}  // namespace
}  // namespace lathe
