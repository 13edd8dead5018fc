#include "data/jinja/print.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

void print(const Value& value, TextBuilder& out, Budget& budget, uint32_t depth);

std::string quote_text(std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  const char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character_bytes(text, at);
    const std::string_view character = text.substr(at, bytes);
    const char32_t c = code_point(character);
    char escape[16] = "";
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (is_printable(c)) {
      out += character;
    } else {
      const char* format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
      std::snprintf(escape, sizeof escape, format, static_cast<unsigned>(c));
      out += escape;
    }
    at += bytes;
  }
  return out + quote;
}

void print_items(const Items& items, TextBuilder& out, Budget& budget, uint32_t depth) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.add(", ");
    print(items[i], out, budget, depth);
  }
}

void print_dict(const Dict& dict, TextBuilder& out, Budget& budget, uint32_t depth) {
  out.add("{");
  for (size_t i = 0; i < dict.size(); ++i) {
    if (i > 0) out.add(", ");
    print(dict.entries()[i].first, out, budget, depth);
    out.add(": ");
    print(dict.entries()[i].second, out, budget, depth);
  }
  out.add("}");
}

void print(const Value& value, TextBuilder& out, Budget& budget, uint32_t depth) {
  budget.step();
  // Only a namespace that holds itself gets here.
  if (depth == 0) throw Fault("a namespace that holds itself can not be printed");
  switch (value.kind()) {
    case Value::Kind::Undefined:
      return out.add("Undefined");
    case Value::Kind::None:
      return out.add("None");
    case Value::Kind::Bool:
      return out.add(value.integer() != 0 ? "True" : "False");
    case Value::Kind::Int:
      return out.add(std::to_string(value.integer()));
    case Value::Kind::Float:
      return out.add(float_text(value.number()));
    case Value::Kind::Text:
      return out.add(quote_text(value.text()));
    case Value::Kind::List:
      out.add("[");
      print_items(value.items(), out, budget, depth - 1);
      return out.add("]");
    case Value::Kind::Tuple:
      out.add("(");
      print_items(value.items(), out, budget, depth - 1);
      return out.add(value.items().size() == 1 ? ",)" : ")");
    case Value::Kind::Dict:
      return print_dict(value.dict(), out, budget, depth - 1);
    case Value::Kind::Namespace:
      out.add("<Namespace ");
      print_dict(value.space().attributes, out, budget, depth - 1);
      return out.add(">");
    case Value::Kind::Function:
      return out.add("<function " + value.function().name + ">");
    case Value::Kind::Loop:
      return out.add("<LoopContext " + std::to_string(value.loop().index + 1) + "/" +
                     std::to_string(value.loop().list.items().size()) + ">");
  }
}

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  std::array<char, 64> buffer{};
  const auto scientific = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                        std::chars_format::scientific);
  const std::string shortest(buffer.data(), scientific.ptr);
  const int exponent = std::stoi(shortest.substr(shortest.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return shortest;
  const auto fixed =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  std::string text(buffer.data(), fixed.ptr);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string str(const Value& value, Budget& budget) {
  if (value.is_text()) {
    budget.make(value.text().size());
    return value.text();
  }
  if (value.is_undefined()) return "";
  return repr(value, budget);
}

std::string repr(const Value& value, Budget& budget) {
  TextBuilder out(budget);
  print(value, out, budget, 220);
  return out.take();
}

}  // namespace lathe::jinja
