// lathe curate as people call it, and against the reference where it is installed.
#include <gtest/gtest.h>

#include "tests/run_program.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

std::string from_source(const std::string& arguments) {
  return "cd " + std::string(LATHE_SOURCE_DIR) + " && " + std::string(LATHE_BINARY) + " " + arguments;
}

TEST(CurateProgram, TheGoldenConfigRunsAndSaysWhatItDid) {
  if (!have_shared("data/text/c4_demo.jsonl")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  const std::string command = from_source("curate configs/curate.yaml output_dir=" + (folder / "out"));
  const ProgramResult first = run_program(command);
  ASSERT_EQ(first.code, 0) << first.output;
  EXPECT_NE(first.output.find("7793 documents read"), std::string::npos) << first.output;
  for (const char* file : {"/kept/c4", "/excluded/c4", "/kept/gsm8k", "/report.json", "/report.html"})
    EXPECT_TRUE(std::filesystem::exists(folder / "out" + file)) << file;
  const ProgramResult again = run_program(command);
  EXPECT_NE(again.output.find("was made before"), std::string::npos) << again.output;
}

TEST(CurateProgram, MistakesAreNamedWithTheirPlace) {
  const ProgramResult result = run_program(from_source("curate configs/curate.yaml 'drop=[\"wrods < 5\"]' output_dir=/tmp/never"));
  EXPECT_EQ(result.code, 64) << result.output;
  EXPECT_NE(result.output.find("`wrods` is no signal"), std::string::npos) << result.output;
}

TEST(CurateProgram, DecidesAsDatatroveDoes) {
  if (!have_shared("data/text/c4_demo.jsonl")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  if (!python_has("datatrove, spacy")) GTEST_SKIP() << "NOT RUN: no datatrove; LATHE_TEST_PYTHON names a Python that has it";
  std::string command = test_python() + " " + LATHE_SOURCE_DIR + "/tests/data/curate_datatrove.py " + LATHE_BINARY;
  for (const char* file : {"c4_demo", "cc_en_head-0091", "cc_en_head-0174"})
    command += " " + shared_path(std::string("data/text/") + file + ".jsonl");
  const ProgramResult result = run_program(command);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_NE(result.output.find("1600 decisions compared, 0 differ"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace lathe
