#pragma once

#include <string>
#include <vector>

#include "recipes/metrics_log.h"

// Curves as an SVG picture of its own: no script, no font, no file beside it.
namespace lathe {

struct NamedCurve {
  std::string name;
  Curve curve;
};

// One diagram; values that are not finite leave a gap. Empty curves make an empty diagram.
std::string svg_plot(const std::string& title, const std::vector<NamedCurve>& curves);

struct BarSeries {
  std::string name;
  std::vector<double> counts;  // one for each bin
};

// Bars beside one another: bin i reaches from low + i width to low + (i + 1) width. Series have as
// many bins; none make an empty diagram.
std::string svg_histogram(const std::string& title, double low, double width,
                          const std::vector<BarSeries>& series);

// What stands in data must not be read as markup.
std::string xml_escaped(const std::string& text);

}  // namespace lathe
