// parallel.overlap over the processes of mpirun.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "recipes/timetable.h"
#include "tests/run_program.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;
using testing::Not;

class OverlapProgram : public testing::Test {
 protected:
  void SetUp() override {
    if (run_program("command -v mpirun").code != 0) GTEST_SKIP() << "NOT RUN: no mpirun";
    write_timetable(folder_.path(), 1, 64, 8);
  }

  struct Outcome {
    std::string output, weights;
  };
  // Two ranks train a few steps.
  Outcome train(const std::string& environment, const std::string& keys) const {
    const std::string run = folder_.path() + "/run";
    std::filesystem::remove_all(run);
    const ProgramResult result = run_program(
        environment + " mpirun -np 2 --oversubscribe --allow-run-as-root --bind-to none --mca btl_vader_single_copy_mechanism none " +
        LATHE_BINARY + " train recipe=sft output_dir=" + run + " model_name_or_path=" + folder_.path() + "/model from_scratch=true data.train=" +
        folder_.path() + "/train.jsonl data.eval=" + folder_.path() + "/held_out.jsonl data.cache_dir=" + folder_.path() +
        "/cache max_length=128 per_device_train_batch_size=2 gradient_accumulation_steps=2 logging_steps=1 save_steps=2 eval_steps=2 "
        "model.dtype=fp32 max_steps=4 threads_per_rank=1 " + keys);
    EXPECT_EQ(result.code, 0) << result.output;
    std::ifstream weights(run + "/model.safetensors", std::ios::binary);
    return {result.output, {std::istreambuf_iterator<char>(weights), {}}};
  }

  TempFolder folder_;
};

TEST_F(OverlapProgram, GivesTheSameModel) {
  const Outcome plain = train("", "zero=3 overlap=false"), overlapped = train("", "zero=3 overlap=true");
  EXPECT_GT(plain.weights.size(), 100'000u);
  EXPECT_EQ(overlapped.weights, plain.weights);
  EXPECT_THAT(overlapped.output, Not(HasSubstr("parallel.overlap:")));
}

TEST_F(OverlapProgram, SaysOnceWhereMpiCanNotBeCalledFromTwoThreads) {
  const Outcome mute = train("LD_PRELOAD=" LATHE_FUNNELED_MPI, "zero=2 overlap=true");
  const std::string words = "parallel.overlap: this MPI can not be called from two threads";
  const size_t first = mute.output.find(words);
  ASSERT_NE(first, std::string::npos) << mute.output;
  EXPECT_EQ(mute.output.find(words, first + 1), std::string::npos);
  EXPECT_EQ(train("", "zero=2 overlap=true").weights, mute.weights);
}

}  // namespace
}  // namespace lathe
