#include <cmath>

#include "data/jinja/filters.h"
#include "data/jinja/operators.h"
#include "data/jinja/print.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

using Kind = Value::Kind;
using Test = bool (*)(std::string_view name, const Value& input, const Arguments&, Budget&);

bool type_test(std::string_view name, const Value& input, const Arguments& arguments, Budget&) {
  const Bound none(name, arguments, {});
  const Kind kind = input.kind();
  if (name == "defined") return kind != Kind::Undefined;
  if (name == "undefined") return kind == Kind::Undefined;
  if (name == "none") return kind == Kind::None;
  if (name == "string") return kind == Kind::Text;
  if (name == "mapping") return kind == Kind::Dict;
  if (name == "number") return input.is_number();
  if (name == "integer") return kind == Kind::Int;
  if (name == "float") return kind == Kind::Float;
  if (name == "boolean") return kind == Kind::Bool;
  if (name == "callable") return kind == Kind::Function;
  if (name == "escaped") return false;
  const bool held = input.is_sequence() || kind == Kind::Text || kind == Kind::Dict;
  if (name == "sequence") return held || kind == Kind::Undefined;
  return held || kind == Kind::Undefined || kind == Kind::Loop;  // iterable
}

bool truth_test(std::string_view name, const Value& input, const Arguments& arguments, Budget&) {
  const Bound none(name, arguments, {});
  return input.kind() == Kind::Bool && (input.integer() != 0) == (name == "true");
}

bool modulo_test(std::string_view name, const Value& input, const Arguments& arguments,
                 Budget& budget) {
  Value divisor(int64_t{2});
  if (name == "divisibleby") {
    divisor = Bound(name, arguments, {"num"}).required(0);
  } else {
    const Bound none(name, arguments, {});
  }
  if (input.is_text()) throw Fault("test '" + std::string(name) + "' expects a number, got str");
  const Value rest = calculate(Operator::Modulo, input, divisor, budget);
  return rest.number() == (name == "odd" ? 1.0 : 0.0);
}

bool case_test(std::string_view name, const Value& input, const Arguments& arguments,
               Budget& budget) {
  const Bound none(name, arguments, {});
  bool cased = false;
  const std::string text = str(input, budget);
  for (std::string_view character : characters(text)) {
    const char32_t c = code_point(character);
    if (name == "upper" ? is_lower(c) : is_upper(c)) return false;
    cased = cased || is_lower(c) || is_upper(c);
  }
  return cased;
}

bool name_test(std::string_view name, const Value& input, const Arguments& arguments, Budget&) {
  const Bound none(name, arguments, {});
  if (!input.is_text()) return false;
  return name == "filter" ? is_filter(input.text()) : is_test(input.text());
}

bool same_test(std::string_view name, const Value& input, const Arguments& arguments,
               Budget& budget) {
  const Value& other = Bound(name, arguments, {"other"}).required(0);
  return input.kind() == other.kind() && equal(input, other, budget);
}

template <Operator op>
bool compare_test(std::string_view name, const Value& input, const Arguments& arguments,
                  Budget& budget) {
  return compare(op, input, Bound(name, arguments, {"other"}).required(0), budget);
}

struct NamedTest {
  std::string_view name;
  Test test;
};
constexpr NamedTest kTests[] = {
    {"defined", type_test},
    {"undefined", type_test},
    {"none", type_test},
    {"string", type_test},
    {"mapping", type_test},
    {"number", type_test},
    {"integer", type_test},
    {"float", type_test},
    {"boolean", type_test},
    {"callable", type_test},
    {"escaped", type_test},
    {"sequence", type_test},
    {"iterable", type_test},
    {"true", truth_test},
    {"false", truth_test},
    {"odd", modulo_test},
    {"even", modulo_test},
    {"divisibleby", modulo_test},
    {"upper", case_test},
    {"lower", case_test},
    {"filter", name_test},
    {"test", name_test},
    {"sameas", same_test},
    {"in", compare_test<Operator::In>},
    {"eq", compare_test<Operator::Equal>},
    {"equalto", compare_test<Operator::Equal>},
    {"==", compare_test<Operator::Equal>},
    {"ne", compare_test<Operator::NotEqual>},
    {"!=", compare_test<Operator::NotEqual>},
    {"lt", compare_test<Operator::Less>},
    {"lessthan", compare_test<Operator::Less>},
    {"<", compare_test<Operator::Less>},
    {"le", compare_test<Operator::LessEqual>},
    {"<=", compare_test<Operator::LessEqual>},
    {"gt", compare_test<Operator::Greater>},
    {"greaterthan", compare_test<Operator::Greater>},
    {">", compare_test<Operator::Greater>},
    {"ge", compare_test<Operator::GreaterEqual>},
    {">=", compare_test<Operator::GreaterEqual>},
};

Test find_test(std::string_view name) {
  for (const NamedTest& entry : kTests) {
    if (entry.name == name) return entry.test;
  }
  return nullptr;
}

}  // namespace

bool is_test(std::string_view name) { return find_test(name) != nullptr; }

bool apply_test(std::string_view name, const Value& input, const Arguments& arguments,
                Budget& budget) {
  budget.step();
  const Test test = find_test(name);
  if (test == nullptr) throw Fault("no test named '" + std::string(name) + "'");
  return test(name, input, arguments, budget);
}

}  // namespace lathe::jinja
