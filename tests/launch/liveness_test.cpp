// Runs of two processes of which one is killed, stopped or late. What a rank is doing is read from the memory that it
// shares with its monitor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>

#include "launch/watch_page.h"
#include "recipes/timetable.h"
#include "tests/run_program.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// "" for what is not there, or no longer.
std::string read(const std::string& path) {
  try {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  } catch (const std::ios_base::failure&) {  // a process that ends meanwhile
    return "";
  }
}

// False: it did not come true within a minute.
bool wait_for(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    sched_yield();
  }
  return true;
}

class Liveness : public testing::Test {
 protected:
  void SetUp() override {
    if (run_program("command -v mpirun").code != 0) GTEST_SKIP() << "NOT RUN: no mpirun";
    fs::remove_all(folder_);
    write_timetable(folder_, 1, 64, 8);
    for (const char* part : {"/tmp", "/shm"}) fs::create_directories(folder_ + part);
  }
  void TearDown() override {
    for (const pid_t pid : processes("")) kill(pid, SIGKILL);
    // mpirun may be clearing up in it too.
    EXPECT_TRUE(wait_for([&] {
      std::error_code error;
      fs::remove_all(folder_, error);
      return !fs::exists(folder_);
    }));
  }

  std::string launcher() const {
    return "mpirun -np 2 --oversubscribe --allow-run-as-root --bind-to none --mca btl_vader_single_copy_mechanism none --mca "
           "mpi_yield_when_idle 1 --mca btl_vader_backing_directory " +
           folder_ + "/shm";
  }
  std::string train(const std::string& keys) const {
    return "train recipe=sft output_dir=" + run_ + " model_name_or_path=" + folder_ + "/model from_scratch=true data.train=" + folder_ +
           "/train.jsonl data.eval=" + folder_ + "/held_out.jsonl data.cache_dir=" + folder_ +
           "/cache max_length=128 per_device_train_batch_size=2 threads_per_rank=1 logging_steps=1 save_steps=2 eval_steps=2 "
           "model.dtype=fp32 max_steps=100000 " + keys;
  }
  // In the background; what it says is in output().
  void start(const std::string& command) {
    const std::string whole = "TMPDIR=" + folder_ + "/tmp " + command + " > " + folder_ + "/output 2>&1";
    code_ = std::async(std::launch::async, [whole] { return run_program(whole).code; });
  }
  void start_train(const std::string& keys) { start(launcher() + " " + LATHE_BINARY + " " + train(keys)); }
  int end() { return code_.get(); }
  std::string output() const { return read(folder_ + "/output"); }

  // Of this test's ranks with this name (lathe, lathe-monitor; "": all), of one rank or all.
  std::vector<pid_t> processes(const std::string& name, int rank = -1) const {
    std::vector<pid_t> pids;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string pid = entry.path().filename(), path = entry.path();
      if (!std::isdigit(static_cast<unsigned char>(pid[0])) || std::stoi(pid) == getpid()) continue;
      if (read(path + "/cmdline").find(std::string("output_dir=") + run_) == std::string::npos) continue;
      const std::string named = read(path + "/comm");
      if (!name.empty() && named != name + "\n") continue;
      if (name.empty() && !named.starts_with("lathe")) continue;
      const std::string variable = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
      if (rank >= 0 && read(path + "/environ").find(variable + std::string(1, '\0')) == std::string::npos) continue;
      pids.push_back(std::stoi(pid));
    }
    return pids;
  }
  // Of the rank once it has met its peers; null before.
  const WatchPage* page_of(pid_t pid) const {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
      if (fs::read_symlink(entry, error).string().find("memfd:lathe-watch") == std::string::npos) continue;
      const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
      void* memory = file < 0 ? MAP_FAILED : mmap(nullptr, sizeof(WatchPage), PROT_READ, MAP_SHARED, file, 0);
      close(file);
      if (memory == MAP_FAILED) return nullptr;
      const auto* page = static_cast<const WatchPage*>(memory);
      return page->linked ? page : nullptr;
    }
    return nullptr;
  }
  // Stopped by SIGSTOP in this phase, from this step on; 0: it never was.
  pid_t stop_in(Phase phase, int64_t step, int rank) const {
    pid_t pid = 0;
    const WatchPage* page = nullptr;
    const auto linked = [&] {
      const std::vector<pid_t> pids = processes("lathe", rank);
      if (pids.size() == 1) page = page_of(pid = pids[0]);
      return page != nullptr;
    };
    const auto is_there = [&] { return page->log.phase == phase && page->log.step >= step; };
    if (!wait_for(linked)) return 0;
    const bool stopped = wait_for([&] {
      if (!is_there()) return false;
      kill(pid, SIGSTOP);
      wait_for([&] { return read("/proc/" + std::to_string(pid) + "/stat").find(") T ") != std::string::npos; });
      if (is_there()) return true;
      kill(pid, SIGCONT);
      return false;
    });
    return stopped ? pid : 0;
  }

  void expect_nothing_left() const {
    EXPECT_TRUE(wait_for([&] { return processes("").empty(); }));
    for (const char* part : {"/tmp", "/shm"}) EXPECT_TRUE(wait_for([&] { return fs::is_empty(folder_ + part); })) << part;
  }
  void expect_lost(int rank, const std::string& how) {
    EXPECT_EQ(end(), 71) << output();
    const std::string text = output();
    const size_t first = text.find("FATAL");
    ASSERT_NE(first, std::string::npos) << text;
    EXPECT_EQ(text.find("FATAL", first + 1), std::string::npos) << text;
    const std::string line = text.substr(first, text.find('\n', first) - first);
    EXPECT_THAT(line, HasSubstr("code=71 rank=" + std::to_string(rank) + " host="));
    EXPECT_THAT(line, HasSubstr(how));
    // Whoever still writes its own part of a checkpoint waits for nobody yet.
    const std::string waits = "rank " + std::to_string(1 - rank) + " waits( beside the pass)? in [a-z_]+ over [a-z]+ .no. [0-9]+, [0-9]+ bytes. of step";
    EXPECT_THAT(line, testing::ContainsRegex(how.ends_with("phase save") ? waits + "|no rank waits in a collective" : waits));
    expect_nothing_left();
    const ProgramResult postmortem = run_lathe("postmortem " + run_);
    EXPECT_EQ(postmortem.code, 0) << postmortem.output;
    EXPECT_THAT(postmortem.output, HasSubstr(line));
    EXPECT_THAT(postmortem.output, HasSubstr("\nrank " + std::to_string(rank) + " was "));
  }

  const std::string folder_ = testing::TempDir() + "liveness_test_" + std::to_string(getpid());
  const std::string run_ = folder_ + "/run";
  std::future<int> code_;
};

TEST_F(Liveness, ARankThatIsKilledBeforeTheRanksMeetIsNamed) {
  start_train("");
  std::vector<pid_t> pids;
  const auto forked = [&] { return processes("lathe-monitor", 1).size() == 1 && (pids = processes("lathe", 1)).size() == 1; };
  ASSERT_TRUE(wait_for(forked)) << output();
  kill(pids[0], SIGKILL);
  EXPECT_EQ(end(), 71) << output();
  EXPECT_THAT(output(), HasSubstr("FATAL code=71 rank=1"));
  EXPECT_THAT(output(), HasSubstr("killed by signal 9"));
  expect_nothing_left();
}

class KilledIn : public Liveness, public testing::WithParamInterface<std::pair<Phase, int>> {};

TEST_P(KilledIn, EndsAllWith71AndOneLine) {
  const auto [phase, rank] = GetParam();
  start_train("");
  const pid_t pid = stop_in(phase, 2, rank);
  ASSERT_GT(pid, 0) << output();
  kill(pid, SIGKILL);
  expect_lost(rank, std::string("killed by signal 9 (Killed) in phase ") + kPhaseNames[static_cast<size_t>(phase)]);
}

INSTANTIATE_TEST_SUITE_P(Phases, KilledIn,
                         testing::Values(std::pair(Phase::kData, 1), std::pair(Phase::kStep, 0), std::pair(Phase::kEval, 1), std::pair(Phase::kSave, 0)));

// Two calls may be under way then.
TEST_F(Liveness, ARankThatIsKilledWithWorkBesideItsPassIsNamed) {
  start_train("zero=3 overlap=true");
  const pid_t pid = stop_in(Phase::kStep, 3, 1);
  ASSERT_GT(pid, 0) << output();
  kill(pid, SIGKILL);
  expect_lost(1, "killed by signal 9 (Killed) in phase step");
}

TEST_F(Liveness, AStoppedRankWithWorkBesideItsPassIsNamed) {
  start_train("zero=2 overlap=true heartbeat_timeout=2");
  ASSERT_GT(stop_in(Phase::kStep, 3, 0), 0) << output();
  expect_lost(0, "hangs: stopped by a signal");
}

struct Signalled {
  Phase phase;
  int rank, signal;
};

class SignalledIn : public Liveness, public testing::WithParamInterface<Signalled> {};

TEST_P(SignalledIn, EndsAllWith75AndACheckpoint) {
  const auto [phase, rank, signal] = GetParam();
  start_train("");
  const pid_t pid = stop_in(phase, 3, rank);
  ASSERT_GT(pid, 0) << output();
  kill(pid, signal);
  kill(pid, SIGCONT);
  EXPECT_EQ(end(), 75) << output();
  EXPECT_THAT(output(), HasSubstr("checkpoint saved"));
  EXPECT_THAT(output(), testing::Not(HasSubstr("FATAL")));
  expect_nothing_left();
}

INSTANTIATE_TEST_SUITE_P(Phases, SignalledIn,
                         testing::Values(Signalled{Phase::kData, 1, SIGTERM}, Signalled{Phase::kStep, 0, SIGINT},
                                         Signalled{Phase::kEval, 1, SIGUSR1}, Signalled{Phase::kSave, 0, SIGTERM}));

TEST_F(Liveness, ASignalToMpirunStopsTheRunWithACheckpoint) {
  start_train("");
  const pid_t pid = stop_in(Phase::kStep, 3, 1);
  ASSERT_GT(pid, 0) << output();
  const std::vector<pid_t> launchers = processes("mpirun");
  ASSERT_EQ(launchers.size(), 1u);
  kill(pid, SIGCONT);
  kill(launchers[0], SIGUSR1);
  EXPECT_EQ(end(), 75) << output();
  EXPECT_THAT(output(), HasSubstr("checkpoint saved"));
  EXPECT_THAT(output(), testing::Not(HasSubstr("FATAL")));
  expect_nothing_left();
}

TEST_F(Liveness, AStoppedRankIsNamedAndKilled) {
  start_train("heartbeat_timeout=2");
  ASSERT_GT(stop_in(Phase::kStep, 2, 1), 0) << output();
  expect_lost(1, "hangs: stopped by a signal");
}

TEST_F(Liveness, ARankThatIsKilledWithItsMonitorIsNamed) {
  start_train("");
  ASSERT_GT(stop_in(Phase::kStep, 2, 0), 0) << output();
  const std::vector<pid_t> monitors = processes("lathe-monitor", 0);
  ASSERT_EQ(monitors.size(), 1u);
  kill(monitors[0], SIGKILL);
  end();  // what mpirun makes of a process that it sees killed
  EXPECT_THAT(output(), HasSubstr("FATAL code=71 rank=0"));
  EXPECT_THAT(output(), HasSubstr("lost: killed with its monitor"));
  expect_nothing_left();
}

TEST_F(Liveness, AStragglerIsReportedNotKilled) {
  start_train("max_steps=6 heartbeat_timeout=10");
  const pid_t pid = stop_in(Phase::kStep, 2, 1);
  ASSERT_GT(pid, 0) << output();
  EXPECT_TRUE(wait_for([&] { return output().find("late: rank 1") != std::string::npos; }));
  kill(pid, SIGCONT);
  EXPECT_EQ(end(), 0) << output();
  EXPECT_THAT(output(), testing::Not(HasSubstr("FATAL")));
  expect_nothing_left();
}

TEST_F(Liveness, ASignalToAMonitorStopsTheRunWithACheckpoint) {
  start_train("");
  const pid_t pid = stop_in(Phase::kStep, 3, 1);
  ASSERT_GT(pid, 0) << output();
  const std::vector<pid_t> monitors = processes("lathe-monitor", 1);
  ASSERT_EQ(monitors.size(), 1u);
  kill(pid, SIGCONT);
  kill(monitors[0], SIGTERM);
  EXPECT_EQ(end(), 75) << output();
  EXPECT_THAT(output(), HasSubstr("checkpoint saved"));
  EXPECT_THAT(output(), testing::Not(HasSubstr("FATAL")));
  expect_nothing_left();
}

TEST_F(Liveness, RestartsReachTheSameWeights) {
  start_train("max_steps=12");
  ASSERT_EQ(end(), 0) << output();
  const std::string weights = read(run_ + "/model.safetensors");
  ASSERT_GT(weights.size(), 100'000u);
  fs::remove_all(run_);

  start(std::string(LATHE_BINARY) + " " + train("max_steps=12 --max-restarts 2 --launcher '" + launcher() + "'"));
  const pid_t pid = stop_in(Phase::kStep, 7, 1);
  ASSERT_GT(pid, 0) << output();
  kill(pid, SIGKILL);
  EXPECT_EQ(end(), 0) << output();
  EXPECT_THAT(output(), HasSubstr("start 2 of 3"));
  EXPECT_THAT(output(), HasSubstr("resumed from"));
  EXPECT_EQ(read(run_ + "/model.safetensors"), weights);
  expect_nothing_left();
}

TEST_F(Liveness, RestartsEndWithoutProgress) {
  const ProgramResult result = run_lathe(train("--max-restarts 9 --launcher false"));
  EXPECT_EQ(result.code, 1) << result.output;
  EXPECT_THAT(result.output, HasSubstr("start 3 of 10"));
  EXPECT_THAT(result.output, HasSubstr("3 starts in a row left no newer checkpoint"));
}

TEST_F(Liveness, PostmortemNamesAFolderWithoutFiles) {
  const ProgramResult result = run_lathe("postmortem " + folder_);
  EXPECT_EQ(result.code, 65);
  EXPECT_THAT(result.output, HasSubstr("holds no rank-R.jsonl"));
}

}  // namespace
}  // namespace lathe
