// Every rule at its threshold from both sides: signals are set, the decision is looked at; and what
// the signals are, on texts small enough to count by hand.
#include <gtest/gtest.h>

#include "data/curate/decide.h"
#include "data/curate/filter.h"
#include "tests/data/curate_tools.h"

namespace lathe {
namespace {

CurateOptions options_with(std::vector<std::string> filters) {
  CurateOptions options;
  options.sources.resize(1);
  options.sources[0].name = "s";
  options.sources[0].files = {"f"};
  options.sources[0].filters = std::move(filters);
  return options;
}

TEST(CurateRules, EveryRuleDropsBeyondItsThresholdAndKeepsAtIt) {
  int rules_seen = 0;
  for (const Filter& filter : filter_table()) {
    for (const FilterRule& rule : filter.rules) {
      ++rules_seen;
      const CurateOptions options = options_with({filter.name});
      const Rules rules(options);
      // Signals that no rule of the filter minds.
      std::vector<double> signals(num_signals(), 0);
      for (const FilterRule& other : filter.rules) {
        if (other.side == FilterRule::kBelow) signals[signal_index(other.signal)] = other.threshold;
      }
      double& value = signals[signal_index(rule.signal)];
      const double step = 1e-12 + 1e-12 * std::abs(rule.threshold);
      const double at = rule.threshold;
      if (rule.side == FilterRule::kAtLeast) {
        value = at - step;
        EXPECT_EQ(rules.decide(0, signals.data()).reason, kKept) << rule.name;
        value = at;
      } else {
        value = at;
        EXPECT_EQ(rules.decide(0, signals.data()).reason, kKept) << rule.name;
        value = rule.side == FilterRule::kBelow ? at - step : at + step;
      }
      const Rules::Verdict verdict = rules.decide(0, signals.data());
      ASSERT_NE(verdict.reason, kKept) << rule.name;
      EXPECT_EQ(rules.reasons()[verdict.reason].rule, rule.name);
      EXPECT_EQ(rules.reasons()[verdict.reason].stage, filter.name);
      EXPECT_EQ(rules.reasons()[verdict.reason].threshold, rule.threshold);
      EXPECT_EQ(verdict.value, value);
    }
  }
  EXPECT_EQ(rules_seen, 65);
}

TEST(CurateRules, AThresholdOfTheUserReplacesTheAuthors) {
  CurateOptions options = options_with({"gopher_quality"});
  options.thresholds["gopher_short_doc"] = 3;
  const Rules rules(options);
  SignalsOf signals("it is to be of some great use and that gives much pleasure");
  EXPECT_EQ(rules.decide(0, signals.values.data()).reason, kKept);
  options.thresholds["gopher_short_do"] = 3;
  EXPECT_THROW(Rules{options}, std::invalid_argument);
}

TEST(CurateRules, AnExpressionDropsAndSaysItself) {
  CurateOptions options = options_with({});
  options.drop = {"words < 5 or stop_words < 2"};
  const Rules rules(options);
  SignalsOf brief("the cat and dog"), fine("the cat and the dog are here");
  const auto verdict = rules.decide(0, brief.values.data());
  EXPECT_EQ(rules.reasons()[verdict.reason].rule, "words < 5 or stop_words < 2");
  EXPECT_EQ(rules.decide(0, fine.values.data()).reason, kKept);
}

TEST(CurateRules, UnknownFiltersAreRefusedWithAllNames) {
  try {
    Rules rules(options_with({"gofer"}));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what())
                  .find("`gofer` is no filter; expected one of url, gopher_repetition"),
              std::string::npos)
        << error.what();
  }
}

TEST(CurateSignals, GopherQualityCountsWords) {
  SignalsOf s("# The cat's mat...\n- one two\n");
  EXPECT_EQ(s["words"], 6);                // The cat 's mat one two
  EXPECT_DOUBLE_EQ(s["hashes"], 1.0 / 9);  // of # The cat 's mat ... - one two
  EXPECT_DOUBLE_EQ(s["ellipses"], 1.0 / 9);
  EXPECT_DOUBLE_EQ(s["bullet_lines"], 0.5);
  EXPECT_DOUBLE_EQ(s["ellipsis_lines"], 0.5);
  EXPECT_DOUBLE_EQ(s["alphabetic_words"], 6.0 / 9);
  EXPECT_EQ(s["stop_words"], 0);  // The is not the
  EXPECT_EQ(SignalsOf(std::string("the \0 of", 8))["stop_words"], 2);  // a NUL is none
  EXPECT_DOUBLE_EQ(s["mean_word_length"], (3 + 3 + 2 + 3 + 3 + 3) / 6.0);
}

TEST(CurateSignals, RepetitionCountsCharactersOfRepeatedLinesAndWords) {
  SignalsOf s("ab cd\nab cd\n\nxy");
  EXPECT_DOUBLE_EQ(s["dup_lines"], 1.0 / 3);
  EXPECT_DOUBLE_EQ(s["dup_line_chars"], 5.0 / 15);
  EXPECT_EQ(s["dup_paragraphs"], 0);
  EXPECT_DOUBLE_EQ(s["top_2_gram"], 2 * 5.0 / 15);
  // Two times the same five words: the second time they count.
  SignalsOf twice("a b c d e a b c d e");
  EXPECT_DOUBLE_EQ(twice["dup_5_grams"], 5.0 / 19);
  EXPECT_EQ(twice["dup_6_grams"], 0);
}

TEST(CurateSignals, C4KeepsLinesThatAreSentences) {
  SignalsOf s(
      "One two three. Four five!\nno end\nToo few.\nWe use cookies here today.\nHe said it[1] "
      "so[citation needed].\n");
  EXPECT_EQ(s["c4_lines"], 2);
  EXPECT_EQ(s["c4_sentences"], 3);
  EXPECT_EQ(s["curly_bracket"], 0);
  EXPECT_EQ(SignalsOf("A line { with a bracket.")["curly_bracket"], 1);
  EXPECT_EQ(SignalsOf("A line { without an end")["curly_bracket"], 0);
  EXPECT_EQ(SignalsOf("Here is Lorem Ipsum for you.")["lorem_ipsum"], 1);
  EXPECT_EQ(SignalsOf("Please turn JavaScript on now.")["c4_lines"], 0);
}

TEST(CurateSignals, FineWebLooksAtLines) {
  SignalsOf s("A line that ends.\nshort\n\nshort\n");
  EXPECT_EQ(s["lines_with_text"], 3);
  EXPECT_DOUBLE_EQ(s["punctuated_lines"], 1.0 / 3);
  EXPECT_EQ(s["short_lines"], 1);
  EXPECT_DOUBLE_EQ(s["repeated_line_chars"], 5.0 / 27);
  EXPECT_DOUBLE_EQ(s["newlines_per_word"], 4.0 / 7);
}

TEST(CurateSignals, Mc4WantsThreeLongLines) {
  const std::string line(200, 'x');
  EXPECT_EQ(SignalsOf(line + "\n" + line + "\n" + line)["third_longest_line"], 200);
  EXPECT_EQ(SignalsOf(line + "\n" + line + "\n" + line.substr(1))["third_longest_line"], 199);
  EXPECT_EQ(SignalsOf(line + "\n" + line)["third_longest_line"], 0);
}

TEST(CurateSignals, DclmFindsNoiseLines) {
  SignalsOf s("THIS IS LOUD HERE\n12 likes\nword\nThis is a line of eight plain good words\n");
  EXPECT_DOUBLE_EQ(s["dclm_removed_words"], (4 + 2 + 1) / 16.0);
}

TEST(CurateSignals, UrlsAreHeldAgainstLists) {
  UrlLists lists;
  lists.domains = {"bad.example"};
  lists.hard_words = {"casino"};
  EXPECT_TRUE(is_blocked_domain(lists, "https://www.Bad.example:80/x"));
  EXPECT_FALSE(is_blocked_domain(lists, "https://notbad.example/"));
  EXPECT_EQ(count_listed_words(lists.hard_words, "http://a.example/Casino-royale/casinos"), 1);
}

TEST(CurateSignals, ChatsAreLookedAtTurnByTurn) {
  Conversation chat;
  chat.messages = {{"user", "Hello"},
                   {"assistant", "I’m sorry, but I can't do that."},
                   {"assistant", " "},
                   {"user", "Hello"}};
  SignalsOf s("Hello", &chat, {"I’m sorry, but I can't do that.", " "});
  EXPECT_EQ(s["turns"], 4);
  EXPECT_EQ(s["empty_turns"], 1);
  EXPECT_EQ(s["repeated_turns"], 1);
  EXPECT_EQ(s["role_faults"], 1);
  EXPECT_EQ(s["refusals"], 1);
  EXPECT_EQ(s["answer_words"], 7);
}

TEST(CurateSignals, HostileTextsAreMeasured) {
  for (const std::string& text :
       {std::string(), std::string("\n\n\n"), std::string(1, '\0'), std::string(100'000, '['),
        std::string(100'000, '.'), std::string("\xF0\x9F\x98\x80"), std::string(5000, '@'),
        std::string("....@....1.1.1.1.1.1"), std::string(3000, '\'')}) {
    SignalsOf s(text);
    for (size_t i = 0; i < s.values.size(); ++i)
      EXPECT_TRUE(std::isfinite(s.values[i])) << signal_at(i).name;
  }
}

TEST(CurateExpression, KnowsPrecedenceAndRefusesNonsense) {
  std::vector<double> signals(num_signals(), 0);
  signals[signal_index("words")] = 10;
  const auto value = [&](const char* text) { return Expression(text).value(signals.data()); };
  EXPECT_EQ(value("1 + 2 * 3"), 7);
  EXPECT_EQ(value("(1 + 2) * 3 == 9"), 1);
  EXPECT_EQ(value("words >= 10 and not words > 10"), 1);
  EXPECT_EQ(value("words / 0"), 0);
  EXPECT_EQ(value("1 or 0 and 0"), 1);
  EXPECT_EQ(value("-words < -9.5"), 1);
  for (const std::string& bad : {std::string(), std::string("words <"), std::string("wrods < 1"),
                                 std::string("(1"), std::string("1 2"), std::string(5000, '1'),
                                 std::string(200, '('), std::string("1 < 2 < 3")})
    EXPECT_THROW(Expression{bad}, std::invalid_argument) << bad.substr(0, 20);
}

}  // namespace
}  // namespace lathe
