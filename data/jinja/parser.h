#pragma once

#include <string>
#include <string_view>

#include "data/jinja/lexer.h"
#include "data/jinja/syntax.h"

// Tokens -> syntax, by recursive descent without going back: linear in the source.
namespace lathe::jinja {

// Throws Error for what is not Jinja, and for what is Jinja but not supported, naming it.
class Parser {
 public:
  Parser(std::string_view source, const std::string& where);
  Block parse();

 private:
  // Statements: parser.cpp.
  Block parse_until(std::initializer_list<std::string_view> ends, const Token& opening);
  Statement parse_statement();
  Statement parse_if();
  Statement parse_for();
  Statement parse_set();
  Statement parse_with();
  Statement parse_macro();
  Statement parse_call_block();
  Statement parse_filter_block();
  Statement parse_generation();
  Statement parse_loop_control();
  Statement parse_print();
  Block parse_apart(std::string_view end, const Token& opening);
  std::vector<Parameter> parse_parameters();
  Target parse_target(bool attributes);
  Target parse_one_target(bool attributes);
  ExpressionPtr parse_block_filters();

  // Expressions: parse_expression.cpp.
  enum class Conditional { Yes, No };
  ExpressionPtr parse_tuple(Conditional conditional, bool parenthesised = false);
  ExpressionPtr parse_expression();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concat();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filters);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_literal_text();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr base);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr base);
  ExpressionPtr parse_attribute(ExpressionPtr base);
  ExpressionPtr parse_subscript(ExpressionPtr base);
  ExpressionPtr parse_call(ExpressionPtr callee);
  ExpressionPtr parse_filter(ExpressionPtr base);
  ExpressionPtr parse_test(ExpressionPtr base);
  CallSyntax parse_arguments();
  ExpressionPtr make(Expression::Kind kind, Position at, ExpressionPtr a = nullptr,
                     ExpressionPtr b = nullptr, ExpressionPtr c = nullptr,
                     ExpressionPtr d = nullptr);
  ExpressionPtr checked(ExpressionPtr expression);

  const Token& current() const { return tokens_[next_]; }
  const Token& ahead() const { return tokens_[std::min(next_ + 1, tokens_.size() - 1)]; }
  Token take();
  bool is_sign(std::string_view sign) const { return current().is(Token::Kind::Sign, sign); }
  bool is_name(std::string_view name) const { return current().is(Token::Kind::Name, name); }
  bool skip_sign(std::string_view sign);
  bool skip_name(std::string_view name);
  void expect_sign(std::string_view sign);
  std::string expect_name(std::string_view what);
  void expect(Token::Kind kind, std::string_view what);
  [[noreturn]] void fail(Position at, const std::string& message) const;
  [[noreturn]] void unexpected(std::string_view expected) const;

  // Counts how deep the parser is inside itself, for its lifetime.
  class Nesting;

  std::string where_;
  std::vector<Token> tokens_;
  size_t next_ = 0;
  uint32_t nesting_ = 0;
  uint32_t loops_ = 0;  // that break and continue may leave
};

}  // namespace lathe::jinja
