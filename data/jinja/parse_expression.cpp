#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "data/jinja/filters.h"
#include "data/jinja/nesting.h"
#include "data/jinja/parser.h"

namespace lathe::jinja {
namespace {

using Kind = Expression::Kind;

// Chains like a + b + c make trees as deep as they are long.
constexpr uint32_t kMaxTreeDepth = 300;

struct NamedOperator {
  std::string_view sign;
  Operator op;
};
constexpr NamedOperator kComparisons[] = {{"==", Operator::Equal},  {"!=", Operator::NotEqual},
                                          {"<", Operator::Less},    {"<=", Operator::LessEqual},
                                          {">", Operator::Greater}, {">=", Operator::GreaterEqual}};
constexpr NamedOperator kSums[] = {{"+", Operator::Add}, {"-", Operator::Subtract}};
constexpr NamedOperator kProducts[] = {{"*", Operator::Multiply},
                                       {"/", Operator::Divide},
                                       {"//", Operator::FloorDivide},
                                       {"%", Operator::Modulo}};

template <size_t N>
std::optional<Operator> find_operator(const NamedOperator (&table)[N], const Token& token) {
  if (token.kind != Token::Kind::Sign) return std::nullopt;
  for (const NamedOperator& entry : table) {
    if (entry.sign == token.text) return entry.op;
  }
  return std::nullopt;
}

uint32_t depth_of(const ExpressionPtr& expression) {
  return expression == nullptr ? 0 : expression->depth;
}

}  // namespace

ExpressionPtr Parser::make(Kind kind, Position at, ExpressionPtr a, ExpressionPtr b,
                           ExpressionPtr c, ExpressionPtr d) {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->at = at;
  const size_t count = kind == Kind::Slice ? 4 : kind == Kind::Conditional ? 3 : b ? 2 : a ? 1 : 0;
  std::array<ExpressionPtr, 4> parts{std::move(a), std::move(b), std::move(c), std::move(d)};
  for (size_t i = 0; i < count; ++i) made->parts.push_back(std::move(parts[i]));
  return checked(std::move(made));
}

ExpressionPtr Parser::checked(ExpressionPtr expression) {
  uint32_t depth = 0;
  for (const ExpressionPtr& part : expression->parts) depth = std::max(depth, depth_of(part));
  for (const ExpressionPtr& part : expression->call.positional)
    depth = std::max(depth, depth_of(part));
  for (const auto& [name, part] : expression->call.named) depth = std::max(depth, depth_of(part));
  depth = std::max(depth, depth_of(expression->call.more_positional));
  expression->depth = depth + 1;
  if (depth >= kMaxTreeDepth) fail(expression->at, "an expression is nested too deep");
  return expression;
}

ExpressionPtr Parser::parse_tuple(Conditional conditional, bool parenthesised) {
  const Position at = current().at;
  const auto ends = [&] {
    const Token::Kind kind = current().kind;
    return kind == Token::Kind::EndOutput || kind == Token::Kind::EndBlock || is_sign(")") ||
           is_name("recursive");
  };
  std::vector<ExpressionPtr> parts;
  bool tuple = false;
  while (!ends()) {
    parts.push_back(conditional == Conditional::Yes ? parse_expression() : parse_or());
    if (!skip_sign(",")) break;
    tuple = true;
  }
  if (!tuple && parts.size() == 1) return std::move(parts[0]);
  if (!tuple && !parenthesised) unexpected("an expression");
  ExpressionPtr made = make(Kind::Tuple, at);
  made->parts = std::move(parts);
  return checked(std::move(made));
}

ExpressionPtr Parser::parse_expression() {
  const Nesting nesting(nesting_, [&] { fail(current().at, "an expression is nested too deep"); });
  ExpressionPtr value = parse_or();
  while (is_name("if")) {
    const Position at = take().at;
    ExpressionPtr condition = parse_or();
    ExpressionPtr otherwise = skip_name("else") ? parse_expression() : nullptr;
    value =
        make(Kind::Conditional, at, std::move(value), std::move(condition), std::move(otherwise));
  }
  return value;
}

ExpressionPtr Parser::parse_or() {
  ExpressionPtr left = parse_and();
  while (is_name("or")) {
    const Position at = take().at;
    left = make(Kind::Or, at, std::move(left), parse_and());
  }
  return left;
}

ExpressionPtr Parser::parse_and() {
  ExpressionPtr left = parse_not();
  while (is_name("and")) {
    const Position at = take().at;
    left = make(Kind::And, at, std::move(left), parse_not());
  }
  return left;
}

ExpressionPtr Parser::parse_not() {
  if (!is_name("not")) return parse_compare();
  const Nesting nesting(nesting_, [&] { fail(current().at, "an expression is nested too deep"); });
  const Position at = take().at;
  return make(Kind::Not, at, parse_not());
}

ExpressionPtr Parser::parse_compare() {
  const Position at = current().at;
  ExpressionPtr first = parse_sum();
  std::vector<ExpressionPtr> parts;
  std::vector<Operator> operators;
  while (true) {
    std::optional<Operator> op = find_operator(kComparisons, current());
    if (is_name("in")) op = Operator::In;
    if (is_name("not") && ahead().is(Token::Kind::Name, "in")) {
      take();
      op = Operator::NotIn;
    }
    if (!op) break;
    take();
    operators.push_back(*op);
    parts.push_back(parse_sum());
  }
  if (operators.empty()) return first;
  ExpressionPtr made = make(Kind::Compare, at, std::move(first));
  for (ExpressionPtr& part : parts) made->parts.push_back(std::move(part));
  made->operators = std::move(operators);
  return checked(std::move(made));
}

ExpressionPtr Parser::parse_sum() {
  ExpressionPtr left = parse_concat();
  while (const std::optional<Operator> op = find_operator(kSums, current())) {
    const Position at = take().at;
    left = make(Kind::Binary, at, std::move(left), parse_concat());
    left->operators = {*op};
  }
  return left;
}

ExpressionPtr Parser::parse_concat() {
  ExpressionPtr first = parse_product();
  if (!is_sign("~")) return first;
  ExpressionPtr made = make(Kind::Concat, current().at, std::move(first));
  while (skip_sign("~")) made->parts.push_back(parse_product());
  return checked(std::move(made));
}

ExpressionPtr Parser::parse_product() {
  ExpressionPtr left = parse_power();
  while (const std::optional<Operator> op = find_operator(kProducts, current())) {
    const Position at = take().at;
    left = make(Kind::Binary, at, std::move(left), parse_power());
    left->operators = {*op};
  }
  return left;
}

// From the left, unlike Python: so does Jinja.
ExpressionPtr Parser::parse_power() {
  ExpressionPtr left = parse_unary(true);
  while (is_sign("**")) {
    const Position at = take().at;
    left = make(Kind::Binary, at, std::move(left), parse_unary(true));
    left->operators = {Operator::Power};
  }
  return left;
}

ExpressionPtr Parser::parse_unary(bool with_filters) {
  ExpressionPtr value;
  if (is_sign("-") || is_sign("+")) {
    const Nesting nesting(nesting_,
                          [&] { fail(current().at, "an expression is nested too deep"); });
    const Kind kind = is_sign("-") ? Kind::Negative : Kind::Positive;
    const Position at = take().at;
    value = make(kind, at, parse_unary(false));
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr Parser::parse_literal_text() {
  ExpressionPtr made = make(Kind::Literal, current().at);
  std::string text;
  while (current().kind == Token::Kind::Text) text += take().text;
  made->value = Value(std::move(text));
  return made;
}

namespace {

// Base from the prefix 0x, 0o, 0b; nothing for what does not fit in 64 bits.
std::optional<Value> integer_value(std::string_view text) {
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const char mark = static_cast<char>(text[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    if (base != 10) text.remove_prefix(2);
  }
  if (base == 10 && text.size() > 1 && text[0] == '0' && text.find_first_not_of('0') != text.npos) {
    return std::nullopt;
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return Value(value);
}

std::optional<Value> float_value(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return Value(value);
}

}  // namespace

ExpressionPtr Parser::parse_primary() {
  const Position at = current().at;
  switch (current().kind) {
    case Token::Kind::Name: {
      const std::string name = take().text;
      ExpressionPtr made = make(Kind::Literal, at);
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        made->value = Value(name == "true" || name == "True");
      } else if (name != "none" && name != "None") {
        made->kind = Kind::Name;
        made->name = name;
      }
      return made;
    }
    case Token::Kind::Text:
      return parse_literal_text();
    case Token::Kind::Integer:
    case Token::Kind::Float: {
      const Token token = take();
      ExpressionPtr made = make(Kind::Literal, at);
      const bool integer = token.kind == Token::Kind::Integer;
      const std::optional<Value> value =
          integer ? integer_value(token.text) : float_value(token.text);
      if (!value)
        fail(at, "the number '" + token.text.substr(0, 40) +
                     "' can not be read, or does not fit in 64 bits");
      made->value = *value;
      return made;
    }
    default:
      break;
  }
  if (skip_sign("(")) {
    ExpressionPtr inner = parse_tuple(Conditional::Yes, true);
    expect_sign(")");
    return inner;
  }
  if (is_sign("[")) return parse_list();
  if (is_sign("{")) return parse_dict();
  unexpected("an expression");
}

ExpressionPtr Parser::parse_list() {
  ExpressionPtr made = make(Kind::List, take().at);
  while (!is_sign("]")) {
    if (!made->parts.empty()) expect_sign(",");
    if (is_sign("]")) break;
    made->parts.push_back(parse_expression());
  }
  expect_sign("]");
  return checked(std::move(made));
}

ExpressionPtr Parser::parse_dict() {
  ExpressionPtr made = make(Kind::Dict, take().at);
  while (!is_sign("}")) {
    if (!made->parts.empty()) expect_sign(",");
    if (is_sign("}")) break;
    made->parts.push_back(parse_expression());
    expect_sign(":");
    made->parts.push_back(parse_expression());
  }
  expect_sign("}");
  return checked(std::move(made));
}

ExpressionPtr Parser::parse_postfix(ExpressionPtr base) {
  while (true) {
    if (is_sign(".")) {
      base = parse_attribute(std::move(base));
    } else if (is_sign("[")) {
      base = parse_subscript(std::move(base));
    } else if (is_sign("(")) {
      base = parse_call(std::move(base));
    } else {
      return base;
    }
  }
}

ExpressionPtr Parser::parse_filters_and_tests(ExpressionPtr base) {
  while (true) {
    if (skip_sign("|")) {
      base = parse_filter(std::move(base));
    } else if (is_name("is")) {
      base = parse_test(std::move(base));
    } else if (is_sign("(")) {
      base = parse_call(std::move(base));
    } else {
      return base;
    }
  }
}

ExpressionPtr Parser::parse_attribute(ExpressionPtr base) {
  const Position at = take().at;
  if (current().kind == Token::Kind::Integer) {
    ExpressionPtr number = parse_primary();
    return make(Kind::Subscript, at, std::move(base), std::move(number));
  }
  ExpressionPtr made = make(Kind::Attribute, at, std::move(base));
  made->name = expect_name("a name or number behind '.'");
  return made;
}

ExpressionPtr Parser::parse_subscript(ExpressionPtr base) {
  const Position at = take().at;
  const auto part = [&]() -> ExpressionPtr {
    if (is_sign(":") || is_sign("]")) return nullptr;
    return parse_expression();
  };
  ExpressionPtr start = part();
  if (!is_sign(":")) {
    if (start == nullptr) unexpected("an index");
    if (is_sign(",")) {
      ExpressionPtr key = make(Kind::Tuple, at, std::move(start));
      while (skip_sign(",")) key->parts.push_back(parse_expression());
      start = checked(std::move(key));
    }
    expect_sign("]");
    return make(Kind::Subscript, at, std::move(base), std::move(start));
  }
  take();
  ExpressionPtr stop = part();
  ExpressionPtr step = skip_sign(":") ? part() : nullptr;
  expect_sign("]");
  return make(Kind::Slice, at, std::move(base), std::move(start), std::move(stop), std::move(step));
}

CallSyntax Parser::parse_arguments() {
  CallSyntax call;
  bool first = true;
  expect_sign("(");
  while (!is_sign(")")) {
    if (!std::exchange(first, false)) expect_sign(",");
    if (is_sign(")")) break;
    const Position at = current().at;
    if (skip_sign("*")) {
      if (call.more_positional != nullptr) fail(at, "a second '*' in a call");
      call.more_positional = parse_expression();
    } else if (is_sign("**")) {
      fail(at, "'**' in a call is not supported in chat templates");
    } else if (current().kind == Token::Kind::Name && ahead().is(Token::Kind::Sign, "=")) {
      std::string name = take().text;
      take();
      call.named.emplace_back(std::move(name), parse_expression());
    } else {
      if (!call.named.empty() || call.more_positional) {
        fail(at, "a positional argument follows a named one");
      }
      call.positional.push_back(parse_expression());
    }
  }
  expect_sign(")");
  return call;
}

ExpressionPtr Parser::parse_call(ExpressionPtr callee) {
  ExpressionPtr made = make(Kind::Call, current().at, std::move(callee));
  made->call = parse_arguments();
  return checked(std::move(made));
}

// Behind the '|'.
ExpressionPtr Parser::parse_filter(ExpressionPtr base) {
  const Position at = current().at;
  const std::string name = expect_name("the name of a filter");
  if (!is_filter(name)) fail(at, "the filter '" + name + "' is unknown or not supported");
  ExpressionPtr made = make(Kind::Filter, at);
  made->parts.push_back(std::move(base));
  made->name = name;
  if (is_sign("(")) made->call = parse_arguments();
  return checked(std::move(made));
}

ExpressionPtr Parser::parse_test(ExpressionPtr base) {
  take();
  const bool negated = skip_name("not");
  const Position at = current().at;
  const std::string name = expect_name("the name of a test");
  if (!is_test(name)) fail(at, "the test '" + name + "' is unknown or not supported");
  ExpressionPtr made = make(Kind::Test, at, std::move(base));
  made->name = name;
  const Token::Kind kind = current().kind;
  const bool value = kind == Token::Kind::Text || kind == Token::Kind::Integer ||
                     kind == Token::Kind::Float || kind == Token::Kind::Name || is_sign("[") ||
                     is_sign("{");
  if (is_sign("(")) {
    made->call = parse_arguments();
  } else if (value && !is_name("else") && !is_name("or") && !is_name("and")) {
    if (is_name("is")) fail(current().at, "tests can not be chained with 'is'");
    made->call.positional.push_back(parse_postfix(parse_primary()));
  }
  made = checked(std::move(made));
  return negated ? make(Kind::Not, at, std::move(made)) : std::move(made);
}

}  // namespace lathe::jinja
