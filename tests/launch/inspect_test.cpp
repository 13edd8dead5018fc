// What inspect shows of raw files and of dataset folders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/exit_codes.h"
#include "recipes/timetable.h"
#include "tests/data/folder.h"
#include "tests/run_program.h"

namespace lathe {
namespace {

using testing::HasSubstr;
using testing::Not;

class Inspect : public testing::Test {
 protected:
  Inspect() {
    write_timetable(folder_.path(), 1, 64, 8);
    std::string chats;
    for (const char* name : {"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "A"}) {
      chats += talk(name, "");
    }
    write_text(folder_ / "chats.jsonl", chats + talk("K", R"(, "train": false)"));
    write_text(folder_ / "many.yaml",
               "recipe: sft\noutput_dir: " + folder_ / "run" +
                   "\nmodel: {model_name_or_path: " + folder_ / "model" +
                   ", from_scratch: true}\ndata: {train: " + folder_ / "train.jsonl" +
                   ", max_length: 128, cache_dir: " + folder_ / "cache}\n");
  }
  static std::string talk(const std::string& name, const std::string& more) {
    return R"({"messages": [{"role": "user", "content": "<b>)" + name +
           R"(</b>"}, {"role": "assistant", "content": "Go & see")" + more + "}]}\n";
  }
  ProgramResult inspect(const std::string& source, const std::string& more = "") {
    return run_lathe("inspect " + folder_ / source + " " + more);
  }
  std::string raw_options() {
    return "--tokenizer " + folder_ / "model" + " cache_dir=" + folder_ / "cache";
  }
  TestFolder folder_;
};

TEST_F(Inspect, ShowsWhatAConfigTrains) {
  const ProgramResult result = inspect("many.yaml", "--html " + folder_ / "page.html");
  EXPECT_EQ(result.code, kDone) << result.output;
  EXPECT_THAT(result.output, HasSubstr("read 64, kept 64"));
  EXPECT_THAT(result.output, HasSubstr("-> bfd: best fit"));
  EXPECT_THAT(result.output, HasSubstr("between \u00ab and \u00bb"));
  EXPECT_EQ(inspect("many.yaml", "--split eval").code, kUsage);
}

TEST_F(Inspect, ShowsRawFilesWithTheirMask) {
  const ProgramResult plain =
      inspect("chats.jsonl", raw_options() + " --html " + folder_ / "page.html");
  EXPECT_EQ(plain.code, kDone) << plain.output;
  EXPECT_THAT(plain.output, HasSubstr("\u00abGo & see"));
  EXPECT_THAT(plain.output, HasSubstr("all_masked 1"));
  EXPECT_THAT(plain.output, HasSubstr("11, 1 of them (9.09 %) the same as an earlier one"));
  const std::string page = read_file(folder_ / "page.html");
  EXPECT_THAT(page, HasSubstr("&lt;"));
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
  EXPECT_THAT(page, Not(HasSubstr("http")));
}

TEST_F(Inspect, ColoursOnlyWhenAsked) {
  EXPECT_THAT(inspect("many.yaml", "--color always").output, HasSubstr("\x1b[48;5;"));
  EXPECT_THAT(inspect("many.yaml").output, Not(HasSubstr("\x1b")));
  EXPECT_EQ(inspect("many.yaml", "--color pink").code, kUsage);
}

TEST_F(Inspect, ShowsADatasetFolderWithAndWithoutItsTokenizer) {
  ASSERT_EQ(run_lathe("prepare " + folder_ / "many.yaml" + " --output " + folder_ / "set").code,
            kDone);
  EXPECT_THAT(inspect("set/train", "--examples 1").output, HasSubstr("example 0: "));
  EXPECT_THAT(inspect("set/train", "--tokenizer " + folder_ / "model").output, HasSubstr("\u00ab"));
  EXPECT_EQ(inspect("chats.jsonl").code, kUsage);
  EXPECT_EQ(inspect("absent.jsonl", raw_options()).code, kBadInput);
}

}  // namespace
}  // namespace lathe
