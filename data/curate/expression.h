#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lathe {

// A rule that the user writes over signals: "words < 50 or stop_words < 2". Numbers, names of
// signals, + - * /, comparisons (< <= > >= == !=), and, or, not and brackets; at most 4096
// characters, 64 deep. A quotient by zero is 0.
class Expression {
 public:
  // Throws std::invalid_argument with the text and the place of the fault.
  explicit Expression(std::string text);

  double value(const double* signals) const;  // of all signals; not 0: it holds
  bool asks_for(size_t signal) const;
  const std::string& text() const { return text_; }

 private:
  friend class ExpressionParser;
  enum class Op {
    kNumber,
    kSignal,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kNegate,
    kLess,
    kLessEqual,
    kMore,
    kMoreEqual,
    kEqual,
    kNotEqual,
    kAnd,
    kOr,
    kNot
  };
  struct Step {
    Op op;
    double number = 0;
    size_t signal = 0;
  };

  std::string text_;
  std::vector<Step> steps_;  // operands before their operator
};

}  // namespace lathe
