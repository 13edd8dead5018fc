#include <cstdio>

#include "data/jinja/print.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

// One conversion: %[flags][width][.precision]kind.
struct Conversion {
  std::string flags;
  int width = 0;
  int precision = -1;
  char kind = 0;
};

int read_number(std::string_view format, size_t& at) {
  int number = 0;
  for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at) {
    number = number * 10 + (format[at] - '0');
    if (number > 1000) throw Fault("a width or precision in a format is above 1000");
  }
  return number;
}

Conversion read_conversion(std::string_view format, size_t& at) {
  Conversion conversion;
  for (; at < format.size() && std::string_view("-+ 0#").find(format[at]) != std::string_view::npos;
       ++at) {
    if (conversion.flags.find(format[at]) == std::string::npos) conversion.flags += format[at];
  }
  conversion.width = read_number(format, at);
  if (at < format.size() && format[at] == '.') conversion.precision = read_number(format, ++at);
  if (at == format.size()) throw Fault("incomplete format");
  conversion.kind = format[at++];
  return conversion;
}

template <class Number>
std::string printed(const Conversion& conversion, const char* length, Number number) {
  std::string pattern = "%" + conversion.flags + std::to_string(conversion.width);
  if (conversion.width == 0) pattern = "%" + conversion.flags;
  if (conversion.precision >= 0) pattern += "." + std::to_string(conversion.precision);
  pattern += length;
  pattern += conversion.kind;
  std::string text(2500, '\0');
  const int size = std::snprintf(text.data(), text.size(), pattern.c_str(), number);
  text.resize(static_cast<size_t>(size));
  return text;
}

std::string converted(Conversion conversion, const Value& value, Budget& budget) {
  const char kind = conversion.kind;
  if (kind == 's' || kind == 'r') {
    std::string text = kind == 's' ? str(value, budget) : repr(value, budget);
    if (conversion.precision >= 0) {
      size_t end = 0;
      for (int i = 0; i < conversion.precision && end < text.size(); ++i)
        end += character_bytes(text, end);
      text.resize(end);
    }
    const size_t size = count_characters(text);
    const size_t width = static_cast<size_t>(conversion.width);
    const std::string padding(size < width ? width - size : 0, ' ');
    return conversion.flags.find('-') == std::string::npos ? padding + text : text + padding;
  }
  if (!value.is_number()) {
    throw Fault(std::string("%") + kind + " format: a number is required, not " +
                std::string(value.type_name()));
  }
  if (kind == 'f' || kind == 'g' || kind == 'e') return printed(conversion, "", value.number());
  const bool fits = value.is_integer() || (value.number() > -9e18 && value.number() < 9e18);
  if ((kind != 'd' && kind != 'i' && kind != 'x') || !fits ||
      (kind == 'x' && !value.is_integer())) {
    throw Fault(std::string("unsupported format character '") + kind + "'");
  }
  const int64_t whole = value.is_integer() ? value.integer() : static_cast<int64_t>(value.number());
  if (kind == 'x' && whole < 0) throw Fault("%x of a negative number is not supported");
  return printed(conversion, "l", static_cast<long>(whole));
}

}  // namespace

std::string format_percent(std::string_view format, const Value& values, Budget& budget) {
  const bool many = values.kind() == Value::Kind::Tuple;
  const size_t count = many ? values.items().size() : 1;
  size_t used = 0;
  TextBuilder out(budget);
  for (size_t at = 0; at < format.size();) {
    const size_t percent = std::min(format.find('%', at), format.size());
    out.add(format.substr(at, percent - at));
    at = percent + 1;
    if (percent == format.size()) break;
    budget.step();
    const Conversion conversion = read_conversion(format, at);
    if (conversion.kind == '%') {
      out.add("%");
      continue;
    }
    if (used == count) throw Fault("not enough arguments for format string");
    out.add(converted(conversion, many ? values.items()[used] : values, budget));
    ++used;
  }
  if (many && used < count) throw Fault("not all arguments converted during string formatting");
  if (!many && used < count && !values.is_dict() && values.kind() != Value::Kind::List) {
    throw Fault("not all arguments converted during string formatting");
  }
  return out.take();
}

}  // namespace lathe::jinja
