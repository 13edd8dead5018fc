#include <algorithm>

#include "data/jinja/evaluator.h"
#include "data/jinja/filters.h"
#include "data/jinja/functions.h"
#include "data/jinja/methods.h"
#include "data/jinja/print.h"

namespace lathe::jinja {

using Kind = Expression::Kind;

Value Evaluator::evaluate(const Expression& expression) {
  const Deeper deeper(*this);
  switch (expression.kind) {
    case Kind::Literal:
      return expression.value;
    case Kind::Name:
      return evaluate_name(expression);
    case Kind::List:
    case Kind::Tuple:
      return evaluate_items(expression);
    case Kind::Dict:
      return evaluate_dict(expression);
    case Kind::Attribute: {
      const Value base = evaluate(*expression.parts[0]);
      at_ = expression.at;
      return attribute(base, expression.name, AttributeOrder::MethodsFirst, budget_);
    }
    case Kind::Subscript: {
      const Value base = evaluate(*expression.parts[0]), key = evaluate(*expression.parts[1]);
      at_ = expression.at;
      return subscript(base, key, budget_);
    }
    case Kind::Slice:
      return evaluate_slice(expression);
    case Kind::Call:
      return evaluate_call(expression, nullptr);
    case Kind::Filter:
      return evaluate_filter(expression, evaluate(*expression.parts[0]));
    case Kind::Test: {
      const Value input = evaluate(*expression.parts[0]);
      const Arguments arguments = evaluate_arguments(expression.call);
      at_ = expression.at;
      return Value(apply_test(expression.name, input, arguments, budget_));
    }
    case Kind::Negative:
    case Kind::Positive:
      return evaluate_sign(expression);
    case Kind::Not:
      return Value(!evaluate(*expression.parts[0]).truth());
    case Kind::Binary:
      return evaluate_binary(expression);
    case Kind::Compare:
      return evaluate_compare(expression);
    case Kind::And:
    case Kind::Or:
      return evaluate_logic(expression);
    case Kind::Concat:
      return evaluate_concat(expression);
    case Kind::Conditional:
      return evaluate_conditional(expression);
  }
  return Value();
}

Value Evaluator::evaluate_name(const Expression& expression) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    const auto found = scope->names.find(expression.name);
    if (found != scope->names.end()) return found->second;
  }
  return Value::undefined("'" + expression.name + "' is undefined");
}

Value Evaluator::evaluate_items(const Expression& expression) {
  budget_.make(expression.parts.size() * sizeof(Value));
  Items items;
  items.reserve(expression.parts.size());
  for (const ExpressionPtr& part : expression.parts) items.push_back(evaluate(*part));
  at_ = expression.at;
  return expression.kind == Kind::Tuple ? Value::tuple(std::move(items)) : Value(std::move(items));
}

Value Evaluator::evaluate_dict(const Expression& expression) {
  budget_.make(expression.parts.size() * sizeof(Value));
  Dict dict;
  for (size_t i = 0; i + 1 < expression.parts.size(); i += 2) {
    Value key = evaluate(*expression.parts[i]), value = evaluate(*expression.parts[i + 1]);
    at_ = expression.at;
    dict.set(std::move(key), std::move(value));
  }
  return Value(std::move(dict));
}

Value Evaluator::evaluate_slice(const Expression& expression) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (expression.parts[i]) parts[i] = evaluate(*expression.parts[i]);
  }
  at_ = expression.at;
  return slice(parts[0], parts[1], parts[2], parts[3], budget_);
}

Value Evaluator::evaluate_logic(const Expression& expression) {
  const Value left = evaluate(*expression.parts[0]);
  const bool decided = left.truth() == (expression.kind == Kind::Or);
  return decided ? left : evaluate(*expression.parts[1]);
}

Value Evaluator::evaluate_binary(const Expression& expression) {
  const Value left = evaluate(*expression.parts[0]), right = evaluate(*expression.parts[1]);
  at_ = expression.at;
  return calculate(expression.operators[0], left, right, budget_);
}

// a < b < c holds when each pair does; what is behind the first that does not is not evaluated.
Value Evaluator::evaluate_compare(const Expression& expression) {
  Value left = evaluate(*expression.parts[0]);
  for (size_t i = 0; i < expression.operators.size(); ++i) {
    Value right = evaluate(*expression.parts[i + 1]);
    at_ = expression.at;
    if (!compare(expression.operators[i], left, right, budget_)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Evaluator::evaluate_concat(const Expression& expression) {
  TextBuilder out(budget_);
  for (const ExpressionPtr& part : expression.parts) {
    const Value value = evaluate(*part);
    at_ = expression.at;
    out.add(str(value, budget_));
  }
  return Value(out.take());
}

Value Evaluator::evaluate_conditional(const Expression& expression) {
  if (evaluate(*expression.parts[1]).truth()) return evaluate(*expression.parts[0]);
  if (expression.parts[2]) return evaluate(*expression.parts[2]);
  return Value::undefined("the inline if has no else and its condition does not hold");
}

Value Evaluator::evaluate_sign(const Expression& expression) {
  const Value value = evaluate(*expression.parts[0]);
  at_ = expression.at;
  if (expression.kind == Kind::Negative) return negate(value);
  if (value.is_undefined()) throw Fault(value.why());
  if (!value.is_number())
    throw Fault("bad operand type for unary +: '" + std::string(value.type_name()) + "'");
  return value.is_integer() ? Value(value.integer()) : value;
}

Value Evaluator::evaluate_filter(const Expression& expression, const Value& input) {
  const Arguments arguments = evaluate_arguments(expression.call);
  at_ = expression.at;
  return apply_filter(expression.name, input, arguments, budget_);
}

Arguments Evaluator::evaluate_arguments(const CallSyntax& call) {
  Arguments arguments;
  for (const ExpressionPtr& part : call.positional) arguments.positional.push_back(evaluate(*part));
  for (const auto& [name, part] : call.named) arguments.named.emplace_back(name, evaluate(*part));
  if (call.more_positional) {
    for (Value& value : elements(evaluate(*call.more_positional), budget_)) {
      arguments.positional.push_back(std::move(value));
    }
  }
  return arguments;
}

Value Evaluator::evaluate_call(const Expression& expression, const Value* caller) {
  const Value callee = evaluate(*expression.parts[0]);
  Arguments arguments = evaluate_arguments(expression.call);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  at_ = expression.at;
  return call(callee, arguments);
}

Value Evaluator::call(const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) throw Fault(callee.why());
  if (callee.kind() != Value::Kind::Function) {
    throw Fault("'" + std::string(callee.type_name()) + "' object is not callable");
  }
  const Function& function = callee.function();
  if (function.kind == Function::Kind::Macro) return call_macro(*function.macro, arguments);
  if (function.kind == Function::Kind::Method) return call_method(function, arguments, budget_);
  if (function.name == "namespace") return make_namespace(arguments);
  return call_function(function.name, arguments, options_.now, budget_);
}

Value Evaluator::make_namespace(const Arguments& arguments) {
  budget_.make(sizeof(Namespace));
  namespaces_.push_back(std::make_unique<Namespace>(Namespace{make_dict(arguments, budget_)}));
  return Value(namespaces_.back().get());
}

}  // namespace lathe::jinja
