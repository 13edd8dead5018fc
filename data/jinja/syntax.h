#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/jinja/operators.h"
#include "data/jinja/value.h"

// A parsed template.
namespace lathe::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct CallSyntax {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional;  // *x
};

struct Expression {
  enum class Kind {
    Literal,  // value
    Name,     // name
    List,
    Tuple,      // parts
    Dict,       // parts: key, value, key, value ...
    Attribute,  // parts[0].name
    Subscript,  // parts[0][parts[1]]
    Slice,      // parts[0][parts[1]:parts[2]:parts[3]], where parts may be null
    Call,       // parts[0](call)
    Filter,
    Test,  // name, call; parts[0], which is null for the filter of a block
    Negative,
    Positive,
    Not,      // parts[0]
    Binary,   // parts[0] operators[0] parts[1]
    Compare,  // parts[0] operators[0] parts[1] operators[1] parts[2] ...
    And,
    Or,           // parts[0], parts[1]
    Concat,       // parts
    Conditional,  // parts[0] if parts[1] else parts[2], which may be null
  };
  Kind kind = Kind::Literal;
  Position at;
  std::string name;
  Value value;
  std::vector<ExpressionPtr> parts;
  std::vector<Operator> operators;
  CallSyntax call;
  uint32_t depth = 1;  // of the tree
};

// What set, for and with assign to.
struct Target {
  enum class Kind { Name, Attribute, Tuple };
  Kind kind = Kind::Name;
  Position at;
  std::string name;
  std::string attribute;
  std::vector<Target> parts;
};

struct Parameter {
  std::string name;
  ExpressionPtr otherwise;  // null: none
};

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum class Kind {
    Data,         // text
    Output,       // expressions
    If,           // if expressions[i] then bodies[i]; one body more is the else
    For,          // for targets[0] in expressions[0] (if expressions[1]); bodies[0], else bodies[1]
    Set,          // targets[0] = expressions[0]
    SetBlock,     // targets[0] = bodies[0], through the filter expressions[0]
    With,         // targets[i] = expressions[i], for bodies[0]
    Macro,        // text(parameters): bodies[0]
    CallBlock,    // expressions[0] with caller(parameters): bodies[0]
    FilterBlock,  // bodies[0] through the filter expressions[0]
    Generation,   // bodies[0] is what the assistant says
    Break,
    Continue,
  };
  Kind kind = Kind::Data;
  Position at;
  std::string text;
  std::vector<Target> targets;
  std::vector<ExpressionPtr> expressions;
  std::vector<Parameter> parameters;
  std::vector<Block> bodies;
};

}  // namespace lathe::jinja
