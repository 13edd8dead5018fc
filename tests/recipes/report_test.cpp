// Pages and tables made of run folders.
#include "recipes/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "recipes/svg_plot.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

std::string write_run(const TempFolder& folder, const std::string& name, const std::string& rate) {
  const std::string run = folder / name;
  fs::create_directories(run);
  std::ofstream(run + "/metrics.jsonl") << R"({"step": 0, "eval_loss": null}
{"step": 1, "loss": 3.25, "grad_norm": 1.5, "learning_rate": 0.1, "num_tokens": 100, "tokens_per_second": 50}
{"step": 2, "loss": 0.1234567890123, "grad_norm": 1.0, "learning_rate": 0.2, "num_tokens": 400, "tokens_per_second": 100}
{"step": 2, "eval_loss": 1.75}
{"step": 2, "train_runtime": 5.5}
)";
  std::ofstream(run + "/config.yaml")
      << "recipe: sft  # default\noptimizer:\n  learning_rate: " << rate << "  # <config.yaml:3>\n";
  std::ofstream(run + "/run.json") << "{\"seed\": 42}\n";
  return run;
}

// Every tag that opens closes, in order, and no `<` or `&` stands outside of markup.
void expect_well_formed(const std::string& text) {
  std::vector<std::string> open;
  for (size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const size_t end = text.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = text.substr(at + 1, end - at - 1);
    EXPECT_EQ(tag.find('<'), std::string::npos) << tag;
    EXPECT_EQ(std::count(tag.begin(), tag.end(), '"') % 2, 0) << tag;
    if (tag.ends_with('/')) continue;
    if (tag.starts_with('/')) {
      ASSERT_FALSE(open.empty()) << tag;
      EXPECT_EQ(open.back(), tag.substr(1));
      open.pop_back();
    } else {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  EXPECT_TRUE(open.empty());
}

TEST(SvgPlot, IsWellFormedWhateverItShows) {
  const Curve gap{.steps = {0, 1, 2, 3}, .values = {1, NAN, INFINITY, 2}};
  for (const auto& curves :
       std::vector<std::vector<NamedCurve>>{{},
                                            {{"empty", {}}},
                                            {{"<a> & \"b\"", gap}},
                                            {{"flat", {{5}, {7}}}, {"none", {{1}, {NAN}}}}}) {
    const std::string svg = svg_plot("a < b & c", curves);
    expect_well_formed(svg);
    EXPECT_THAT(svg, HasSubstr("a &lt; b &amp; c"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(SvgPlot, BarsOfAHistogramStandBesideOneAnother) {
  // Two bins of 3 over 2 to 8, 630 pixels from 70 on: a bar is a quarter of that.
  const std::string svg = svg_histogram("a < b", 2, 3, {{"chosen", {1, 0}}, {"rejected", {0, 2}}});
  expect_well_formed(svg);
  EXPECT_THAT(svg, HasSubstr("<rect x=\"70.0\" y=\"147.0\" width=\"157.5\" height=\"113.0\""));
  EXPECT_THAT(svg, HasSubstr("<rect x=\"542.5\" y=\"34.0\" width=\"157.5\" height=\"226.0\""));
  expect_well_formed(svg_histogram("none", 0, 1, {}));
}

TEST(Report, ShowsTheNumbersOfTheMetrics) {
  const TempFolder folder;
  const RunSummary summary = summarize(read_run_view(write_run(folder, "a", "0.1")));
  EXPECT_EQ(summary.steps, "2");
  EXPECT_EQ(summary.final_loss, "0.1234567890123");
  EXPECT_EQ(summary.best_eval_loss, "1.75") << "an evaluation that was not finite is not the best";
  EXPECT_EQ(summary.tokens_per_second, "80.0") << "400 tokens in 2 + 3 seconds";
  EXPECT_EQ(summary.seconds, "5.5");
}

TEST(Report, NamesTheSettingsInWhichRunsDiffer) {
  const TempFolder folder;
  const std::vector<RunView> runs = {read_run_view(write_run(folder, "a", "0.1")),
                                     read_run_view(write_run(folder, "b", "0.2"))};
  const std::string text = comparison_text(runs);
  EXPECT_THAT(text, HasSubstr("optimizer.learning_rate  0.1  0.2"));
  EXPECT_THAT(text, Not(HasSubstr("recipe")));
  const std::string page = report_html(runs);
  EXPECT_THAT(page, HasSubstr("&lt;config.yaml:3&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
}

TEST(Report, WritesItsFilesIntoTheRunFolder) {
  const TempFolder folder;
  const std::string run = write_run(folder, "a", "0.1");
  write_run_report(run);
  std::ifstream svg(run + "/loss.svg");
  expect_well_formed({std::istreambuf_iterator<char>(svg), {}});
  EXPECT_GT(fs::file_size(run + "/report.html"), fs::file_size(run + "/loss.svg"));
}

TEST(Report, NamesTheBrokenLineOfTheMetrics) {
  const TempFolder folder;
  const std::string run = write_run(folder, "a", "0.1");
  for (const char* bad : {"{", "[]", "3", "{\"loss\": 1}", "{\"step\": \"1\"}", "{\"step\": -1}",
                          "{\"step\": 1.5}", "{\"step\": 1, \"loss\": \"<b>\"}", "\xff"}) {
    std::ofstream(run + "/metrics.jsonl") << "{\"step\": 1, \"loss\": 2}\n" << bad << "\n";
    try {
      read_run_view(run);
      ADD_FAILURE() << "took " << bad;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), HasSubstr("metrics.jsonl:2:")) << bad;
    }
  }
  EXPECT_THROW(read_run_view(folder / "nothing"), std::invalid_argument);
}

}  // namespace
}  // namespace lathe
