#include "data/jinja/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/jinja/json.h"
#include "data/jinja/parser.h"

namespace lathe::jinja {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

std::string render(const std::string& source, const Json& context = Json::object()) {
  return Template(source, "t").render(context).text;
}

// What the error says, "line:column: message", or "rendered".
std::string refusal(const std::string& source, const Json& context = Json::object(),
                    const Limits& limits = {}) {
  try {
    Template(source, "t").render(context, {limits, {}});
    return "rendered";
  } catch (const Error& error) {
    return std::string(error.what()).substr(2);
  }
}

// jinja_golden.jsonl: what Jinja2 3.1.6 makes of many small templates under the settings of
// transformers; the first line is the context of all.
TEST(Jinja, AgreesWithTheReferenceOnEveryCase) {
  std::ifstream file(LATHE_SOURCE_DIR "/tests/data/jinja_golden.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  const Json context = Json::parse(line)["context"];
  RenderOptions options;
  options.now = std::tm{};
  options.now->tm_year = 124;
  options.now->tm_mon = 6;
  options.now->tm_mday = 26;
  int rendered = 0, refused = 0;
  while (std::getline(file, line)) {
    const Json golden = Json::parse(line);
    const std::string source = golden["template"];
    SCOPED_TRACE(source);
    try {
      const std::string text = Template(source, "t").render(context, options).text;
      EXPECT_EQ(text, golden.value("text", "refused: " + golden.value("refused", "")));
      ++rendered;
    } catch (const Error& error) {
      EXPECT_TRUE(golden.contains("refused")) << error.what();
      ++refused;
    }
  }
  EXPECT_EQ(rendered, 553);
  EXPECT_EQ(refused, 91);
}

TEST(Jinja, KeepsTheOrderOfKeys) {
  EXPECT_EQ(render("{{ x | tojson }}", Json::parse(R"({"x": {"b": 1, "a": {"z": 2, "y": 3}}})")),
            R"({"b": 1, "a": {"z": 2, "y": 3}})");
}

TEST(Jinja, ReadsAndWritesJsonUnchanged) {
  const Json json =
      Json::parse(R"({"b":[1,-2.5,null,true,"é\n"],"a":{"z":{},"y":[]},"i":9223372036854775807})");
  Budget budget{Limits{}};
  EXPECT_EQ(to_ordered_json(from_json(json), budget), json);
  EXPECT_THROW(from_json(Json(uint64_t{1} << 63)), Fault);
  Json deep = Json::array();
  for (int i = 0; i < 200; ++i) deep = Json::array({deep});
  EXPECT_THROW(from_json(deep), Fault);
}

TEST(Jinja, NamesThePlaceOfWhatIsNotSupported) {
  EXPECT_EQ(refusal("a\n  {% include 'x' %}"),
            "2:6: the tag 'include' is not supported in chat templates");
  EXPECT_EQ(refusal("{% extends 'x' %}"),
            "1:4: the tag 'extends' is not supported in chat templates");
  EXPECT_EQ(refusal("{% import 'x' as y %}"),
            "1:4: the tag 'import' is not supported in chat templates");
  EXPECT_EQ(refusal("{% block a %}{% endblock %}"),
            "1:4: the tag 'block' is not supported in chat templates");
  EXPECT_EQ(refusal("{% frob %}"), "1:4: unknown tag 'frob'");
  EXPECT_EQ(refusal("é{{ x | frob }}"), "1:9: the filter 'frob' is unknown or not supported");
  EXPECT_EQ(refusal("{{ x is frob }}"), "1:9: the test 'frob' is unknown or not supported");
  EXPECT_EQ(refusal("{% for a in b recursive %}{% endfor %}"),
            "1:15: recursive loops are not supported in chat templates");
  // Also where it would never run.
  EXPECT_EQ(refusal("{% if false %}{{ 1 | frob }}{% endif %}"),
            "1:22: the filter 'frob' is unknown or not supported");
}

TEST(Jinja, NamesThePlaceOfMistakes) {
  EXPECT_EQ(refusal("{% if x %}\n"),
            "1:4: 'if' is never closed: expected 'endif' before the end of the template");
  EXPECT_EQ(refusal("{% endfor %}"),
            "1:4: unexpected 'endfor': no block is open that it could end");
  EXPECT_EQ(refusal("{{ (1 }}"), "1:7: unexpected '}', expected ')'");
  EXPECT_EQ(refusal("x {{ 'a }}"), "1:6: a string is never closed");
  EXPECT_EQ(refusal("{% break %}"), "1:4: 'break' outside of a loop");
  EXPECT_EQ(refusal("\n\n{{ a.b }}\n"), "3:5: 'a' is undefined");
  EXPECT_EQ(refusal("{{ a.b.c }}", {{"a", {{"x", 1}}}}), "1:7: 'dict object' has no attribute 'b'");
  EXPECT_EQ(refusal("{{ 'a' + 1 }}"), "1:8: can only concatenate str (not \"int\") to str");
}

TEST(Jinja, UndefinedPrintsNothingAndIsRefusedWhenUsed) {
  EXPECT_EQ(render("[{{ a }}{{ a ~ 'x' }}{{ a | length }}{% for i in a %}{% endfor %}]"), "[x0]");
  EXPECT_EQ(refusal("{{ a + 1 }}"), "1:6: 'a' is undefined");
}

TEST(Jinja, RaisesWhatTheTemplateRaises) {
  try {
    render("\n{{ raise_exception('roles must ' ~ 'alternate') }}");
    FAIL() << "rendered";
  } catch (const Raised& raised) {
    EXPECT_EQ(raised.message(), "roles must alternate");
    EXPECT_EQ(raised.at().line, 2u);
  }
}

TEST(Jinja, TellsTheTimeOnlyFromTheCaller) {
  EXPECT_THAT(refusal("{{ strftime_now('%Y') }}"), HasSubstr("the caller gave no time"));
  RenderOptions options;
  options.now = std::tm{};
  options.now->tm_year = 99;
  EXPECT_EQ(Template("{{ strftime_now('%Y') }}", "t").render(Json::object(), options).text, "1999");
}

TEST(Jinja, TheSandboxChangesNothing) {
  const Json context = {{"l", {1}}, {"d", {{"a", 1}}}};
  EXPECT_THAT(refusal("{{ l.append(2) }}", context), HasSubstr("unsafe"));
  EXPECT_THAT(refusal("{{ d.update({}) }}", context), HasSubstr("unsafe"));
  EXPECT_THAT(refusal("{{ ''.__class__.__mro__ }}", context), HasSubstr("unsafe"));
  EXPECT_THAT(refusal("{% set d.a = 2 %}", context), HasSubstr("not a namespace"));
}

TEST(Jinja, MarksGenerationBlocks) {
  const Rendering got =
      Template(
          "é{% for i in [1, 2] %}<{% generation %}{{ i }}ö{% endgeneration %}>{% endfor %}"
          "{% generation %}{% endgeneration %}",
          "t")
          .render(Json::object());
  EXPECT_EQ(got.text, "é<1ö><2ö>");
  EXPECT_EQ(got.generated, (std::vector<std::pair<size_t, size_t>>{{3, 6}, {8, 11}}));
  EXPECT_FALSE(got.generated_apart);
}

TEST(Jinja, SaysWhenAGenerationBlockRanApart) {
  const Template apart("{% set x %}{% generation %}a{% endgeneration %}{% endset %}{{ x }}", "t");
  const Rendering got = apart.render(Json::object());
  EXPECT_EQ(got.text, "a");
  EXPECT_TRUE(got.generated.empty());
  EXPECT_TRUE(got.generated_apart);
}

TEST(Jinja, HostileTemplatesEnd) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "limit"},
      {"{{ 'x' * 99999999999 }}", "limit reached"},
      {"{{ [0] * 9223372036854775807 }}", "limit reached"},
      {"{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s * 2 %}{% endfor "
       "%}",
       "limit"},
      {"{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% "
       "endfor %}",
       "limit"},
      {"{% set ns = namespace(l=1) %}{% for i in range(999) %}{% set ns.l = [ns.l] %}{% endfor %}",
       "100 deep"},
      {"{% set ns = namespace(l=1) %}{% for i in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% "
       "endfor %}{{ ns.l }}",
       "limit"},
      {"{% set ns = namespace(a=1, b=1) %}{% for i in range(90) %}{% set ns.a = [ns.a, ns.a] %}"
       "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
       "limit"},
      {"{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns }}", "holds itself"},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested too deep"},
      {"{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% "
       "endcall %}{% endmacro %}"
       "{{ n() }}",
       "nested too deep"},
      {"{{ range(1000000) }}", "limit"},
      {"{{ range(-9223372036854775807, 9223372036854775807) }}", "limit"},
      {"{{ 'a' | indent(999999999999) }}", "limit"},
      {"{{ 'a'.center(999999999999) }}", "limit"},
      {"{{ '%999999999d' % 1 }}", "above 1000"},
      {"{{ 9223372036854775807 + 1 }}", "leaves 64 bits"},
      {"{{ (-9223372036854775807 - 1) // -1 }}", "leaves 64 bits"},
      {"{{ 10 ** 1000000000000 }}", "leaves 64 bits"},
      {"{% set a = ('a' * 1000000) %}{{ a.replace('a', a) }}", "limit"},
      {"{% set a = ('a' * 1000000) %}{% for i in range(100000) %}{{ a.rfind('b') }}{% endfor %}",
       "limit"},
      {"{% set a = ('ab' * 500000) %}{{ a | list | join(a) }}", "limit"},
      {"{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}", "limit"},
  };
  Limits limits;
  limits.steps = 1'000'000;
  limits.bytes = 32 << 20;
  limits.output_bytes = 1 << 20;
  for (const auto& [source, expected] : cases) {
    EXPECT_THAT(refusal(source, Json::object(), limits), HasSubstr(expected)) << source;
  }
  EXPECT_EQ(cases.size(), 23u);
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(Jinja, SearchesLinearly) {
  // A naive search would compare 250,000,000,000 bytes.
  const std::string source =
      "{% set a = 'a' * 1000000 %}{% set b = 'b' ~ 'a' * 500000 %}{% set c = 'a' * 500000 ~ 'b' %}";
  EXPECT_EQ(
      render(source +
             "{{ a.find(c) }} {{ a.rfind(b) }} {{ b in a }} {{ a.split(c) | length }} "
             "{{ a.rsplit(b, 1) | length }} {{ a.replace(c, '') | length }} {{ a.count(c) }}"),
      "-1 -1 False 1 1 1000000 0");
}

TEST(Jinja, DeepSourcesAreRefused) {
  const int many = 100'000;
  for (const std::string& source :
       {"{{ " + repeated("(", many) + repeated(")", many) + "}}",
        "{{ " + repeated("[", many) + repeated("]", many) + "}}",
        "{{ " + repeated("{1:", many) + repeated("}", many) + "}}",
        "{{ " + repeated("-", many) + "1 }}", "{{ " + repeated("not ", many) + "1 }}",
        "{{ 1" + repeated(" + 1", many) + " }}", "{{ 1" + repeated(" if 1 else 1", many) + " }}",
        "{{ x" + repeated(".a", many) + " }}", "{{ x" + repeated("|trim", many) + " }}",
        "{{ x" + repeated("()", many) + " }}", "{{ 1" + repeated(" and 1", many) + " }}",
        repeated("{% if 1 %}", many), repeated("{% for a in b %}", many),
        "{% set " + repeated("(", many) + repeated(")", many) + "%}"}) {
    EXPECT_THAT(refusal(source), HasSubstr("too deep")) << source.substr(0, 20);
  }
  // Long is not deep.
  EXPECT_EQ(render("{{ ''" + repeated(" ~ 1", 10'000) + " }}").size(), 10'000u);
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", 10'000) + "{% else %}x{% endif %}"),
            "x");
}

// A render at the depth limit must fit on a thread's stack.
TEST(Jinja, TheDepthLimitIsReachedBeforeTheStackEnds) {
  const std::string source = "{% macro m(n) %}{{ [[[[m(n + 1) ~ '']]]] }}{% endmacro %}{{ m(0) }}";
  std::string said;
  std::thread([&] { said = refusal(source); }).join();
  EXPECT_THAT(said, HasSubstr("nested too deep"));
}

TEST(Jinja, InvalidUtf8NeitherCrashesNorHangs) {
  const std::string bad = "\xC3\x28\xFF\xE2\x82 \xF0\x9F";
  EXPECT_EQ(render(bad), bad);
  EXPECT_EQ(render("{{ x | length }}{{ x[::-1] | length }}", {{"x", bad}}), "88");
  EXPECT_EQ(render("{{ '" + bad + "' | trim }}"), bad);
}

TEST(Jinja, OneTemplateRendersInManyThreads) {
  const Template source(
      "{% for m in messages %}{% set c = m.a | upper %}{{ c ~ loop.index }}{% endfor %}", "t");
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back([&, i] {
      const Json context = {{"messages", Json::array({{{"a", "x" + std::to_string(i)}}})}};
      for (int k = 0; k < 50; ++k) texts[i] = source.render(context).text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(texts, (std::vector<std::string>{"X01", "X11", "X21", "X31"}));
}

}  // namespace
}  // namespace lathe::jinja
