#include "recipes/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace lathe {
namespace {

constexpr double kWidth = 720, kHeight = 300, kLeft = 70, kRight = 20, kTop = 34, kBottom = 40;
constexpr std::array kColours = {"#2a6fbb", "#d1622b", "#3a923a", "#8a56ac",
                                 "#c03d3e", "#7a6a58", "#c777b0", "#4b8f8c"};

// A stretch of one axis and where it lies in the picture.
struct Scale {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  double from = 0, to = 0;  // pixels

  void take(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void close() {
    if (!(low <= high)) low = 0, high = 1;
    const double least = std::max(std::abs(high) * 1e-6, 1e-12);
    if (high - low < least) high = low + least;
  }
  double at(double value) const { return from + (to - from) * ((value - low) / (high - low)); }
};

std::string axes(const Scale& x, const Scale& y) {
  constexpr int kTicks = 4;
  std::string out;
  for (int i = 0; i <= kTicks; ++i) {
    const double share = static_cast<double>(i) / kTicks;
    const double step = x.low + share * (x.high - x.low), value = y.low + share * (y.high - y.low);
    out += fmt::format("<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n",
                       kLeft, kWidth - kRight, y.at(value), y.at(value));
    out += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n", kLeft - 6,
                       y.at(value) + 4, value);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.0f}</text>\n",
                       x.at(step), kHeight - kBottom + 18, step);
  }
  return out;
}

const char* colour_of(size_t place) { return kColours[place % kColours.size()]; }

std::string legend(size_t place, const std::string& name) {
  return fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\" fill=\"{}\">{}</text>\n",
                     kWidth - kRight, kTop + 14 * static_cast<double>(place), colour_of(place),
                     xml_escaped(name));
}

std::string head(const std::string& title) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n"
      "<text x=\"{2}\" y=\"18\" font-weight=\"bold\">{3}</text>\n",
      kWidth, kHeight, kLeft, xml_escaped(title));
}

std::string path_of(const Curve& curve, const Scale& x, const Scale& y) {
  std::string path;
  bool drawing = false;
  for (size_t i = 0; i < curve.values.size(); ++i) {
    const bool finite = std::isfinite(curve.values[i]);
    if (finite) {
      path += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", x.at(curve.steps[i]),
                          y.at(curve.values[i]));
      if (!drawing) path += "h0.01";  // so that a point alone can be seen
    }
    drawing = finite;
  }
  return path;
}

}  // namespace

std::string xml_escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '"')
      safe += "&quot;";
    else if (byte < 0x20 && c != '\n' && c != '\t')
      safe += '?';
    else
      safe += c;
  }
  return safe;
}

std::string svg_histogram(const std::string& title, double low, double width,
                          const std::vector<BarSeries>& series) {
  Scale x{.from = kLeft, .to = kWidth - kRight}, y{.from = kHeight - kBottom, .to = kTop};
  const size_t bins = series.empty() ? 0 : series[0].counts.size();
  x.take(low);
  x.take(low + width * static_cast<double>(bins));
  y.take(0);
  for (const BarSeries& each : series) {
    for (const double count : each.counts) y.take(count);
  }
  x.close();
  y.close();
  std::string out = head(title) + axes(x, y);
  for (size_t s = 0; s < series.size(); ++s) {
    out += legend(s, series[s].name);
    const double share = width / static_cast<double>(series.size());
    for (size_t i = 0; i < bins; ++i) {
      const double from = low + width * static_cast<double>(i) + share * static_cast<double>(s);
      const double top = y.at(series[s].counts[i]);
      out += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
          x.at(from), top, x.at(from + share) - x.at(from), y.at(0) - top, colour_of(s));
    }
  }
  return out + "</svg>\n";
}

std::string svg_plot(const std::string& title, const std::vector<NamedCurve>& curves) {
  Scale x{.from = kLeft, .to = kWidth - kRight}, y{.from = kHeight - kBottom, .to = kTop};
  for (const NamedCurve& named : curves) {
    for (const double step : named.curve.steps) x.take(step);
    for (const double value : named.curve.values) y.take(value);
  }
  x.close();
  y.close();
  std::string out = head(title) + axes(x, y);
  for (size_t i = 0; i < curves.size(); ++i) {
    out += fmt::format(
        "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" "
        "stroke-linecap=\"round\"/>\n",
        path_of(curves[i].curve, x, y), colour_of(i));
    out += legend(i, curves[i].name);
  }
  return out + "</svg>\n";
}

}  // namespace lathe
