#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/jinja/arguments.h"
#include "data/jinja/syntax.h"
#include "data/jinja/template.h"

// Walks the syntax of a template once, for one rendering.
namespace lathe::jinja {

// Variables; one that is not here is looked for in the parent.
struct Scope {
  Scope* parent = nullptr;
  std::map<std::string_view, Value> names;  // the keys live in the syntax and the context
  bool kept = false;                        // a macro sees it: it lives as long as the rendering
};

// A macro, or the body of a call block, with the scope that it was defined in.
struct Macro {
  const Statement* statement;
  Scope* scope;
};

class Evaluator {
 public:
  explicit Evaluator(const RenderOptions& options) : options_(options), budget_(options.limits) {}
  Evaluator(const Evaluator&) = delete;
  // context: a Dict. Throws Fault; at() then tells where. Once.
  Rendering render(const Block& block, const Value& context);
  Position at() const { return at_; }

 private:
  enum class Flow { Next, Break, Continue };
  class Deeper;
  class Inner;

  // Statements: evaluate_statement.cpp.
  Flow run(const Block& block);
  Flow run(const Statement& statement);
  Flow run_if(const Statement& statement);
  Flow run_for(const Statement& statement);
  bool run_iterations(const Statement& statement, const Value& list);
  Value loop_items(const Statement& statement);
  void run_with(const Statement& statement);
  void run_output(const Statement& statement);
  void run_call_block(const Statement& statement);
  void run_generation(const Statement& statement);
  std::string capture(const Block& block);
  Value filter_block(const Expression* filters, Value text);
  void assign(const Target& target, Value value);
  void write(std::string_view text);
  Value make_macro(const Statement& statement, std::string name);
  Value call_macro(const Macro& macro, const Arguments& arguments);
  void bind_parameters(const Macro& macro, const Arguments& arguments);

  // Expressions: evaluate_expression.cpp.
  Value evaluate(const Expression& expression);
  Value evaluate_name(const Expression& expression);
  Value evaluate_items(const Expression& expression);
  Value evaluate_dict(const Expression& expression);
  Value evaluate_slice(const Expression& expression);
  Value evaluate_logic(const Expression& expression);
  Value evaluate_binary(const Expression& expression);
  Value evaluate_compare(const Expression& expression);
  Value evaluate_concat(const Expression& expression);
  Value evaluate_conditional(const Expression& expression);
  Value evaluate_sign(const Expression& expression);
  Value evaluate_filter(const Expression& expression, const Value& input);
  Value evaluate_call(const Expression& expression, const Value* caller);
  Arguments evaluate_arguments(const CallSyntax& call);
  Value call(const Value& callee, const Arguments& arguments);
  Value make_namespace(const Arguments& arguments);

  const RenderOptions& options_;
  Budget budget_;
  Position at_;
  uint32_t depth_ = 0;
  uint32_t generations_ = 0;
  bool apart_ = false;  // the text being written is collected for a value
  std::string text_;
  Rendering rendering_;
  Scope* scope_ = nullptr;
  // What values point to without owning it.
  std::vector<std::unique_ptr<Scope>> kept_scopes_;
  std::vector<std::unique_ptr<Macro>> macros_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
};

// Counts how deep the evaluator is inside itself, for its lifetime.
class Evaluator::Deeper {
 public:
  explicit Deeper(Evaluator& evaluator) : evaluator_(evaluator) {
    if (evaluator.depth_ >= evaluator.options_.limits.depth) {
      throw Fault(
          "the template is nested too deep, or a macro calls itself without end (limit reached)");
    }
    ++evaluator_.depth_;
    evaluator_.budget_.step();
  }
  ~Deeper() { --evaluator_.depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  Evaluator& evaluator_;
};

// A scope inside `parent`, for its lifetime.
class Evaluator::Inner {
 public:
  Inner(Evaluator& evaluator, Scope* parent) : evaluator_(evaluator), before_(evaluator.scope_) {
    evaluator_.budget_.make(sizeof(Scope));
    scope_ = std::make_unique<Scope>();
    scope_->parent = parent;
    evaluator_.scope_ = scope_.get();
  }
  ~Inner() {
    evaluator_.scope_ = before_;
    if (scope_->kept) evaluator_.kept_scopes_.push_back(std::move(scope_));
  }
  Inner(const Inner&) = delete;
  Inner& operator=(const Inner&) = delete;

 private:
  Evaluator& evaluator_;
  Scope* before_;
  std::unique_ptr<Scope> scope_;
};

}  // namespace lathe::jinja
