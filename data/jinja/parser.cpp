#include "data/jinja/parser.h"

#include <algorithm>
#include <array>

#include "data/jinja/nesting.h"

namespace lathe::jinja {
namespace {

constexpr std::array<std::string_view, 9> kUnsupported{
    "include", "extends", "block", "import", "from", "autoescape", "do", "trans", "debug"};

std::string shown(const Token& token) {
  if (token.kind == Token::Kind::End) return token.text;
  if (token.kind == Token::Kind::Data) return "text";
  return "'" + token.text.substr(0, 40) + "'";
}

Statement statement(Statement::Kind kind, Position at) {
  Statement made;
  made.kind = kind;
  made.at = at;
  return made;
}

}  // namespace

Parser::Parser(std::string_view source, const std::string& where)
    : where_(where), tokens_(read_tokens(source, where)) {}

Token Parser::take() { return next_ + 1 < tokens_.size() ? tokens_[next_++] : tokens_[next_]; }

bool Parser::skip_sign(std::string_view sign) {
  if (!is_sign(sign)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!is_name(name)) return false;
  take();
  return true;
}

void Parser::fail(Position at, const std::string& message) const {
  throw Error(where_, at, message);
}

void Parser::unexpected(std::string_view expected) const {
  fail(current().at, "unexpected " + shown(current()) + ", expected " + std::string(expected));
}

void Parser::expect_sign(std::string_view sign) {
  if (!skip_sign(sign)) unexpected("'" + std::string(sign) + "'");
}

std::string Parser::expect_name(std::string_view what) {
  if (current().kind != Token::Kind::Name) unexpected(what);
  return take().text;
}

void Parser::expect(Token::Kind kind, std::string_view what) {
  if (current().kind != kind) unexpected(what);
  take();
}

Block Parser::parse() {
  Block block = parse_until({}, current());
  return block;
}

// Leaves the name that ended it as the current token. No ends: up to the end of the source.
Block Parser::parse_until(std::initializer_list<std::string_view> ends, const Token& opening) {
  const Nesting nesting(nesting_, [&] { fail(current().at, "blocks are nested too deep"); });
  const Token opened = opening;
  Block block;
  while (true) {
    const Position at = current().at;
    switch (current().kind) {
      case Token::Kind::End:
        if (ends.size() == 0) return block;
        fail(opened.at, "'" + opened.text + "' is never closed: expected '" +
                            std::string(*std::rbegin(ends)) + "' before the end of the template");
      case Token::Kind::Data:
        block.push_back(statement(Statement::Kind::Data, at));
        block.back().text = take().text;
        break;
      case Token::Kind::BeginOutput:
        take();
        block.push_back(statement(Statement::Kind::Output, at));
        block.back().expressions.push_back(parse_tuple(Conditional::Yes));
        expect(Token::Kind::EndOutput, "'}}'");
        break;
      default:
        take();
        if (std::any_of(ends.begin(), ends.end(),
                        [&](std::string_view end) { return is_name(end); }))
          return block;
        block.push_back(parse_statement());
        expect(Token::Kind::EndBlock, "'%}'");
    }
  }
}

Statement Parser::parse_statement() {
  if (current().kind != Token::Kind::Name) unexpected("the name of a tag");
  const std::string& name = current().text;
  if (name == "if") return parse_if();
  if (name == "for") return parse_for();
  if (name == "set") return parse_set();
  if (name == "with") return parse_with();
  if (name == "macro") return parse_macro();
  if (name == "call") return parse_call_block();
  if (name == "filter") return parse_filter_block();
  if (name == "generation") return parse_generation();
  if (name == "break" || name == "continue") return parse_loop_control();
  if (name == "print") return parse_print();
  if (std::find(kUnsupported.begin(), kUnsupported.end(), name) != kUnsupported.end()) {
    fail(current().at, "the tag '" + name + "' is not supported in chat templates");
  }
  if (name == "else" || name == "elif" || name.starts_with("end")) {
    fail(current().at, "unexpected '" + name + "': no block is open that it could end");
  }
  fail(current().at, "unknown tag '" + name + "'");
}

Statement Parser::parse_if() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::If, opening.at);
  while (true) {
    made.expressions.push_back(parse_tuple(Conditional::No));
    expect(Token::Kind::EndBlock, "'%}'");
    made.bodies.push_back(parse_until({"elif", "else", "endif"}, opening));
    if (skip_name("elif")) continue;
    if (skip_name("else")) {
      expect(Token::Kind::EndBlock, "'%}'");
      made.bodies.push_back(parse_until({"endif"}, opening));
    }
    take();
    return made;
  }
}

Statement Parser::parse_for() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::For, opening.at);
  made.targets.push_back(parse_target(false));
  if (!skip_name("in")) unexpected("'in'");
  made.expressions.push_back(parse_tuple(Conditional::No));
  if (skip_name("if")) made.expressions.push_back(parse_expression());
  if (is_name("recursive"))
    fail(current().at, "recursive loops are not supported in chat templates");
  expect(Token::Kind::EndBlock, "'%}'");
  ++loops_;
  made.bodies.push_back(parse_until({"else", "endfor"}, opening));
  --loops_;
  if (skip_name("else")) {
    expect(Token::Kind::EndBlock, "'%}'");
    made.bodies.push_back(parse_until({"endfor"}, opening));
  }
  take();
  return made;
}

// The body of a tag whose text is collected apart from the output: loops around it can not be left
// from within.
Block Parser::parse_apart(std::string_view end, const Token& opening) {
  expect(Token::Kind::EndBlock, "'%}'");
  const uint32_t loops = std::exchange(loops_, 0);
  Block body = parse_until({end}, opening);
  loops_ = loops;
  take();
  return body;
}

Statement Parser::parse_set() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::Set, opening.at);
  made.targets.push_back(parse_target(true));
  if (skip_sign("=")) {
    made.expressions.push_back(parse_tuple(Conditional::Yes));
    return made;
  }
  made.kind = Statement::Kind::SetBlock;
  made.expressions.push_back(parse_block_filters());
  made.bodies.push_back(parse_apart("endset", opening));
  return made;
}

Statement Parser::parse_with() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::With, opening.at);
  while (current().kind != Token::Kind::EndBlock) {
    if (!made.targets.empty()) expect_sign(",");
    made.targets.push_back(parse_one_target(false));
    expect_sign("=");
    made.expressions.push_back(parse_expression());
  }
  expect(Token::Kind::EndBlock, "'%}'");
  made.bodies.push_back(parse_until({"endwith"}, opening));
  take();
  return made;
}

std::vector<Parameter> Parser::parse_parameters() {
  std::vector<Parameter> parameters;
  expect_sign("(");
  while (!is_sign(")")) {
    if (!parameters.empty()) expect_sign(",");
    const Position at = current().at;
    Parameter parameter{expect_name("the name of a parameter"), nullptr};
    for (const Parameter& before : parameters) {
      if (before.name == parameter.name)
        fail(at, "the parameter '" + parameter.name + "' is there twice");
    }
    if (skip_sign("=")) {
      parameter.otherwise = parse_expression();
    } else if (!parameters.empty() && parameters.back().otherwise != nullptr) {
      fail(at, "a parameter without a default follows one with a default");
    }
    parameters.push_back(std::move(parameter));
    if (parameters.size() > 100) fail(at, "a macro has more than 100 parameters");
  }
  expect_sign(")");
  return parameters;
}

Statement Parser::parse_macro() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::Macro, opening.at);
  made.text = expect_name("the name of a macro");
  made.parameters = parse_parameters();
  made.bodies.push_back(parse_apart("endmacro", opening));
  return made;
}

Statement Parser::parse_call_block() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::CallBlock, opening.at);
  if (is_sign("(")) made.parameters = parse_parameters();
  made.expressions.push_back(parse_expression());
  if (made.expressions[0]->kind != Expression::Kind::Call)
    fail(opening.at, "'call' expects a call of a macro");
  made.bodies.push_back(parse_apart("endcall", opening));
  return made;
}

// | filter | filter(...), applied to the text of a block; null when there is none.
ExpressionPtr Parser::parse_block_filters() {
  ExpressionPtr filters;
  while (skip_sign("|")) filters = parse_filter(std::move(filters));
  return filters;
}

Statement Parser::parse_filter_block() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::FilterBlock, opening.at);
  ExpressionPtr filters = parse_filter(nullptr);
  while (skip_sign("|")) filters = parse_filter(std::move(filters));
  made.expressions.push_back(std::move(filters));
  made.bodies.push_back(parse_apart("endfilter", opening));
  return made;
}

Statement Parser::parse_generation() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::Generation, opening.at);
  made.bodies.push_back(parse_apart("endgeneration", opening));
  return made;
}

Statement Parser::parse_loop_control() {
  const Token token = take();
  if (loops_ == 0) fail(token.at, "'" + token.text + "' outside of a loop");
  return statement(token.text == "break" ? Statement::Kind::Break : Statement::Kind::Continue,
                   token.at);
}

Statement Parser::parse_print() {
  const Token opening = take();
  Statement made = statement(Statement::Kind::Output, opening.at);
  while (current().kind != Token::Kind::EndBlock) {
    if (!made.expressions.empty()) expect_sign(",");
    made.expressions.push_back(parse_expression());
  }
  return made;
}

Target Parser::parse_one_target(bool attributes) {
  Target target;
  target.at = current().at;
  if (skip_sign("(")) {
    const Nesting nesting(nesting_,
                          [&] { fail(target.at, "assignment targets are nested too deep"); });
    target = parse_target(attributes);
    expect_sign(")");
    return target;
  }
  target.name = expect_name("a name to assign to");
  constexpr std::array<std::string_view, 6> kConstants{"true", "false", "none",
                                                       "True", "False", "None"};
  if (std::find(kConstants.begin(), kConstants.end(), target.name) != kConstants.end()) {
    fail(target.at, "can not assign to '" + target.name + "'");
  }
  if (attributes && skip_sign(".")) {
    target.kind = Target::Kind::Attribute;
    target.attribute = expect_name("the name of an attribute");
  }
  return target;
}

Target Parser::parse_target(bool attributes) {
  Target first = parse_one_target(attributes);
  if (!is_sign(",")) return first;
  Target tuple;
  tuple.kind = Target::Kind::Tuple;
  tuple.at = first.at;
  tuple.parts.push_back(std::move(first));
  while (skip_sign(",")) {
    if (current().kind != Token::Kind::Name && !is_sign("(")) break;
    if (is_name("in")) break;
    tuple.parts.push_back(parse_one_target(attributes));
  }
  return tuple;
}

}  // namespace lathe::jinja
