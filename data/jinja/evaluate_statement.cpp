#include "data/jinja/evaluator.h"
#include "data/jinja/functions.h"
#include "data/jinja/print.h"

namespace lathe::jinja {

using Kind = Statement::Kind;

Rendering Evaluator::render(const Block& block, const Value& context) {
  if (!context.is_dict()) throw Fault("the context of a template has to be an object");
  Scope globals;
  scope_ = &globals;
  for (const FunctionName& function : kFunctions) {
    globals.names[function.name] =
        Value(Function{Function::Kind::Global, std::string(function.name), {}, nullptr});
  }
  for (const auto& [name, value] : context.dict().entries()) globals.names[name.text()] = value;
  run(block);
  rendering_.text = std::move(text_);
  return std::move(rendering_);
}

void Evaluator::write(std::string_view text) {
  if (!apart_ && text_.size() + text.size() > options_.limits.output_bytes) {
    throw Fault("the rendered text is too long (limit reached)");
  }
  budget_.make(text.size());
  text_ += text;
}

Evaluator::Flow Evaluator::run(const Block& block) {
  const Deeper deeper(*this);
  for (const Statement& statement : block) {
    const Flow flow = run(statement);
    if (flow != Flow::Next) return flow;
  }
  return Flow::Next;
}

Evaluator::Flow Evaluator::run(const Statement& statement) {
  budget_.step();
  at_ = statement.at;
  switch (statement.kind) {
    case Kind::Data:
      write(statement.text);
      return Flow::Next;
    case Kind::Output:
      run_output(statement);
      return Flow::Next;
    case Kind::If:
      return run_if(statement);
    case Kind::For:
      return run_for(statement);
    case Kind::Set:
      assign(statement.targets[0], evaluate(*statement.expressions[0]));
      return Flow::Next;
    case Kind::SetBlock:
      assign(statement.targets[0],
             filter_block(statement.expressions[0].get(), Value(capture(statement.bodies[0]))));
      return Flow::Next;
    case Kind::With:
      run_with(statement);
      return Flow::Next;
    case Kind::Macro:
      scope_->names[statement.text] = make_macro(statement, statement.text);
      return Flow::Next;
    case Kind::CallBlock:
      run_call_block(statement);
      return Flow::Next;
    case Kind::FilterBlock:
      write(str(filter_block(statement.expressions[0].get(), Value(capture(statement.bodies[0]))),
                budget_));
      return Flow::Next;
    case Kind::Generation:
      run_generation(statement);
      return Flow::Next;
    case Kind::Break:
      return Flow::Break;
    case Kind::Continue:
      return Flow::Continue;
  }
  return Flow::Next;
}

void Evaluator::run_output(const Statement& statement) {
  for (const ExpressionPtr& expression : statement.expressions) {
    const Value value = evaluate(*expression);
    if (value.is_text()) {
      write(value.text());
    } else {
      write(str(value, budget_));
    }
  }
}

Evaluator::Flow Evaluator::run_if(const Statement& statement) {
  for (size_t i = 0; i < statement.expressions.size(); ++i) {
    if (evaluate(*statement.expressions[i]).truth()) return run(statement.bodies[i]);
  }
  return statement.bodies.size() > statement.expressions.size() ? run(statement.bodies.back())
                                                                : Flow::Next;
}

// The items that the loop goes over, those that its condition refuses left out.
Value Evaluator::loop_items(const Statement& statement) {
  const Value source = evaluate(*statement.expressions[0]);
  at_ = statement.expressions[0]->at;
  const bool filtered = statement.expressions.size() > 1;
  if (source.is_sequence() && !filtered) return source;
  Items items = elements(source, budget_);
  if (!filtered) return Value(std::move(items));
  Items kept;
  for (const Value& item : items) {
    const Inner inner(*this, scope_);
    assign(statement.targets[0], item);
    if (evaluate(*statement.expressions[1]).truth()) kept.push_back(item);
  }
  return Value(std::move(kept));
}

Evaluator::Flow Evaluator::run_for(const Statement& statement) {
  const Value list = loop_items(statement);
  const bool some = run_iterations(statement, list);
  return some || statement.bodies.size() == 1 ? Flow::Next : run(statement.bodies[1]);
}

// Whether there was any.
bool Evaluator::run_iterations(const Statement& statement, const Value& list) {
  budget_.make(sizeof(Loop));
  const auto loop = std::make_shared<Loop>(Loop{list, 0, {}});
  for (; loop->index < list.items().size(); ++loop->index) {
    const Inner inner(*this, scope_);
    scope_->names["loop"] = Value(loop);
    assign(statement.targets[0], list.items()[loop->index]);
    if (run(statement.bodies[0]) == Flow::Break) break;
  }
  return !list.items().empty();
}

void Evaluator::run_with(const Statement& statement) {
  Items values;
  for (const ExpressionPtr& expression : statement.expressions)
    values.push_back(evaluate(*expression));
  const Inner inner(*this, scope_);
  for (size_t i = 0; i < values.size(); ++i) assign(statement.targets[i], values[i]);
  run(statement.bodies[0]);
}

std::string Evaluator::capture(const Block& block) {
  const Inner inner(*this, scope_);
  std::string outer = std::exchange(text_, {});
  const bool outer_apart = std::exchange(apart_, true);
  run(block);
  apart_ = outer_apart;
  return std::exchange(text_, std::move(outer));
}

// As transformers does, the block has a scope of its own. A block within a block adds nothing.
void Evaluator::run_generation(const Statement& statement) {
  const Inner inner(*this, scope_);
  const size_t begin = text_.size();
  ++generations_;
  run(statement.bodies[0]);
  --generations_;
  if (apart_) {
    rendering_.generated_apart = true;
  } else if (generations_ == 0 && text_.size() > begin) {
    rendering_.generated.emplace_back(begin, text_.size());
  }
}

Value Evaluator::filter_block(const Expression* filters, Value text) {
  if (filters == nullptr) return text;
  return evaluate_filter(*filters, filter_block(filters->parts[0].get(), std::move(text)));
}

void Evaluator::assign(const Target& target, Value value) {
  if (target.kind == Target::Kind::Name) {
    budget_.make(sizeof(Value) + 48);
    scope_->names[target.name] = std::move(value);
    return;
  }
  at_ = target.at;
  if (target.kind == Target::Kind::Attribute) {
    Scope* scope = scope_;
    while (scope != nullptr && !scope->names.contains(target.name)) scope = scope->parent;
    if (scope == nullptr || scope->names[target.name].kind() != Value::Kind::Namespace) {
      throw Fault("can not assign to '" + target.name + "." + target.attribute + "': '" +
                  target.name + "' is not a namespace");
    }
    budget_.make(sizeof(Dict::Entry));
    scope->names[target.name].space().attributes.set(Value(target.attribute), std::move(value));
    return;
  }
  const Items items = elements(value, budget_);
  if (items.size() != target.parts.size()) {
    throw Fault("expected " + std::to_string(target.parts.size()) + " values to unpack, got " +
                std::to_string(items.size()));
  }
  for (size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
}

Value Evaluator::make_macro(const Statement& statement, std::string name) {
  budget_.make(sizeof(Macro) + sizeof(Function));
  for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) scope->kept = true;
  macros_.push_back(std::make_unique<Macro>(Macro{&statement, scope_}));
  return Value(Function{Function::Kind::Macro, std::move(name), {}, macros_.back().get()});
}

void Evaluator::run_call_block(const Statement& statement) {
  const Value caller = make_macro(statement, "caller");
  write(str(evaluate_call(*statement.expressions[0], &caller), budget_));
}

// Into the innermost scope, which belongs to the call.
void Evaluator::bind_parameters(const Macro& macro, const Arguments& arguments) {
  const std::vector<Parameter>& parameters = macro.statement->parameters;
  const std::string name = macro.statement->kind == Kind::Macro ? macro.statement->text : "caller";
  if (arguments.positional.size() > parameters.size()) {
    throw Fault("macro '" + name + "' takes not more than " + std::to_string(parameters.size()) +
                " argument(s)");
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    scope_->names[parameters[i].name] = arguments.positional[i];
  }
  for (const auto& [key, value] : arguments.named) {
    bool known = key == "caller";
    for (const Parameter& parameter : parameters) known = known || parameter.name == key;
    if (!known)
      throw Fault("macro '" + name + "' takes no keyword argument '" + std::string(key) + "'");
    if (scope_->names.contains(key))
      throw Fault("macro '" + name + "' got '" + std::string(key) + "' twice");
    scope_->names[key] = value;
  }
  for (const Parameter& parameter : parameters) {
    if (scope_->names.contains(parameter.name)) continue;
    scope_->names[parameter.name] =
        parameter.otherwise
            ? evaluate(*parameter.otherwise)
            : Value::undefined("parameter '" + parameter.name + "' was not provided");
  }
}

Value Evaluator::call_macro(const Macro& macro, const Arguments& arguments) {
  const Deeper deeper(*this);
  const Inner inner(*this, macro.scope);
  bind_parameters(macro, arguments);
  const uint32_t outer_generations = std::exchange(generations_, 0);
  Value text(capture(macro.statement->bodies[0]));
  generations_ = outer_generations;
  return text;
}

}  // namespace lathe::jinja
