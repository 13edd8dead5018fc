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

// What stands in data must not be read as markup.
std::string xml_escaped(const std::string& text);

}  // namespace lathe
