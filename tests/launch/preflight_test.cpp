#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/run_program.h"

namespace lathe {
namespace {

using testing::HasSubstr;

TEST(Preflight, MeasuresEveryAxisAndPair) {
  const ProgramResult result = run_lathe("preflight parallel.ranks=4 parallel.dp=4");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("4 ranks of one program, one LibTorch, one MPI"));
  EXPECT_THAT(result.output, HasSubstr("all-reduce over dp"));
  EXPECT_THAT(result.output, HasSubstr("ranks  2 and  3"));
}

TEST(Preflight, ALauncherOfAnotherMpiIsNamed) {
  if (run_program("command -v mpirun").code != 0) GTEST_SKIP() << "NOT RUN: no mpirun";
  const ProgramResult result = run_program("PMI_SIZE=4 PMI_RANK=0 " + std::string(LATHE_BINARY) + " preflight");
  EXPECT_EQ(result.code, 69) << result.output;
  EXPECT_THAT(result.output, HasSubstr("the launcher started 4 processes"));
  EXPECT_THAT(result.output, HasSubstr("sees 1"));
}

TEST(Preflight, ABindingThatWastesCoresIsTold) {
  if (run_program("command -v mpirun").code != 0) GTEST_SKIP() << "NOT RUN: no mpirun";
  const std::string preflight = std::string(LATHE_BINARY) + " preflight threads_per_rank=2";
  const ProgramResult bound = run_program("mpirun -np 1 --oversubscribe --allow-run-as-root --bind-to core " + preflight);
  EXPECT_THAT(bound.output, HasSubstr("rank 0 is bound to 1 of this host's"));
  EXPECT_THAT(bound.output, HasSubstr("--bind-to none"));
  EXPECT_THAT(run_lathe("preflight").output, testing::Not(HasSubstr("is bound to")));
}

TEST(Preflight, RanksOfAnotherConfigAreNamed) {
  if (run_program("command -v mpirun").code != 0) GTEST_SKIP() << "NOT RUN: no mpirun";
  const std::string one = std::string(" -np 1 ") + LATHE_BINARY + " preflight learning_rate=";
  const ProgramResult result =
      run_program("mpirun --oversubscribe --allow-run-as-root --bind-to none" + one + "1 :" + one + "2");
  EXPECT_EQ(result.code, 69) << result.output;
  EXPECT_THAT(result.output, HasSubstr("the ranks do not belong together: rank 1 has config="));
}

}  // namespace
}  // namespace lathe
