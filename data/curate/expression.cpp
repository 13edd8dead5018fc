#include "data/curate/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "data/curate/characters.h"
#include "data/curate/filter.h"

namespace lathe {
namespace {

constexpr size_t kMostCharacters = 4096;
constexpr int kMostDepth = 64;

bool is_name_part(char c) { return (byte_bits(c) & (kLetterBit | kDigitBit)) || c == '_'; }

}  // namespace

class ExpressionParser {
 public:
  explicit ExpressionParser(Expression& expression)
      : text_(expression.text_), steps_(expression.steps_) {
    if (text_.size() > kMostCharacters) fail("more than 4096 characters", "a shorter rule");
    parse_or();
    skip_blanks();
    if (at_ < text_.size()) fail(fmt::format("`{}`", text_.substr(at_, 12)), "the end, and or or");
  }

 private:
  using Op = Expression::Op;

  void parse_or() {
    const Deeper deeper(*this);
    parse_and();
    while (take_word("or")) {
      parse_and();
      steps_.push_back({Op::kOr});
    }
  }

  void parse_and() {
    parse_not();
    while (take_word("and")) {
      parse_not();
      steps_.push_back({Op::kAnd});
    }
  }

  void parse_not() {
    if (!take_word("not")) return parse_comparison();
    const Deeper deeper(*this);
    parse_not();
    steps_.push_back({Op::kNot});
  }

  void parse_comparison() {
    parse_sum();
    struct Sign {
      std::string_view text;
      Op op;
    };
    constexpr std::array kSigns{Sign{"<=", Op::kLessEqual}, Sign{">=", Op::kMoreEqual},
                                Sign{"==", Op::kEqual},     Sign{"!=", Op::kNotEqual},
                                Sign{"<", Op::kLess},       Sign{">", Op::kMore}};
    for (const Sign& sign : kSigns) {
      if (!take(sign.text)) continue;
      parse_sum();
      steps_.push_back({sign.op});
      return;
    }
  }

  void parse_sum() {
    parse_product();
    for (;;) {
      const bool add = take("+");
      if (!add && !take("-")) return;
      parse_product();
      steps_.push_back({add ? Op::kAdd : Op::kSubtract});
    }
  }

  void parse_product() {
    parse_operand();
    for (;;) {
      const bool multiply = take("*");
      if (!multiply && !take("/")) return;
      parse_operand();
      steps_.push_back({multiply ? Op::kMultiply : Op::kDivide});
    }
  }

  void parse_operand() {
    const Deeper deeper(*this);
    if (take("(")) {
      parse_or();
      if (!take(")")) fail(here(), "a closing bracket");
      return;
    }
    if (take("-")) {
      parse_operand();
      steps_.push_back({Op::kNegate});
      return;
    }
    skip_blanks();
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if ((byte_bits(c) & kDigitBit) || c == '.') return parse_number();
    size_t end = at_;
    while (end < text_.size() && is_name_part(text_[end])) ++end;
    if (end == at_) fail(here(), "a signal or a number");
    const std::string name = text_.substr(at_, end - at_);
    steps_.push_back({Op::kSignal, 0, signal_index(name)});
    at_ = end;
  }

  void parse_number() {
    char* end = nullptr;
    const double number = std::strtod(text_.c_str() + at_, &end);
    const auto behind = static_cast<size_t>(end - text_.c_str());
    if (behind == at_) fail(here(), "a number");
    at_ = behind;
    steps_.push_back({Op::kNumber, number});
  }

  struct Deeper {
    explicit Deeper(ExpressionParser& p) : parser(p) {
      if (++parser.depth_ > kMostDepth) parser.fail("more than 64 levels", "a simpler rule");
    }
    ~Deeper() { --parser.depth_; }
    ExpressionParser& parser;
  };

  void skip_blanks() {
    while (at_ < text_.size() && (byte_bits(text_[at_]) & kSpaceBit)) ++at_;
  }
  bool take(std::string_view sign) {
    skip_blanks();
    if (!std::string_view(text_).substr(at_).starts_with(sign)) return false;
    at_ += sign.size();
    return true;
  }
  bool take_word(std::string_view word) {
    skip_blanks();
    const std::string_view rest = std::string_view(text_).substr(at_);
    if (!rest.starts_with(word) || (rest.size() > word.size() && is_name_part(rest[word.size()])))
      return false;
    at_ += word.size();
    return true;
  }
  std::string here() const {
    return at_ < text_.size() ? fmt::format("`{}`", text_.substr(at_, 12)) : "the end";
  }
  [[noreturn]] void fail(const std::string& found, const std::string& expected) const {
    throw std::invalid_argument(fmt::format("drop: `{}`, at character {}: found {}, expected {}",
                                            text_.substr(0, 100), at_ + 1, found, expected));
  }

  const std::string& text_;
  std::vector<Expression::Step>& steps_;
  size_t at_ = 0;
  int depth_ = 0;
};

Expression::Expression(std::string text) : text_(std::move(text)) {
  ExpressionParser parser(*this);
}

bool Expression::asks_for(size_t signal) const {
  return std::any_of(steps_.begin(), steps_.end(), [signal](const Step& step) {
    return step.op == Op::kSignal && step.signal == signal;
  });
}

double Expression::value(const double* signals) const {
  std::array<double, 256> stack;  // as deep as brackets and operators of 64 levels need
  size_t top = 0;
  for (const Step& step : steps_) {
    if (step.op == Op::kNumber || step.op == Op::kSignal) {
      if (top == stack.size())
        throw std::invalid_argument("drop: the rule is too deep; simplify it");
      stack[top++] = step.op == Op::kNumber ? step.number : signals[step.signal];
      continue;
    }
    if (step.op == Op::kNot || step.op == Op::kNegate) {
      stack[top - 1] = step.op == Op::kNot ? stack[top - 1] == 0 : -stack[top - 1];
      continue;
    }
    const double right = stack[--top];
    double& left = stack[top - 1];
    switch (step.op) {
      case Op::kAdd:
        left += right;
        break;
      case Op::kSubtract:
        left -= right;
        break;
      case Op::kMultiply:
        left *= right;
        break;
      case Op::kDivide:
        left = right == 0 ? 0 : left / right;
        break;
      case Op::kLess:
        left = left < right;
        break;
      case Op::kLessEqual:
        left = left <= right;
        break;
      case Op::kMore:
        left = left > right;
        break;
      case Op::kMoreEqual:
        left = left >= right;
        break;
      case Op::kEqual:
        left = left == right;
        break;
      case Op::kNotEqual:
        left = left != right;
        break;
      case Op::kAnd:
        left = left != 0 && right != 0;
        break;
      default:
        left = left != 0 || right != 0;
        break;
    }
  }
  return top == 0 ? 0 : stack[0];
}

}  // namespace lathe
