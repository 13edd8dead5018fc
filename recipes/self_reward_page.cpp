#include "recipes/self_reward_page.h"

#include <fmt/core.h>

#include "recipes/svg_plot.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) {
  return xml_escaped(value.is_string() ? value.get<std::string>() : value.dump());
}

// A line per measure of the judge, before and after training.
std::string agreement_table(const Json& facts) {
  if (!facts.contains("judge")) return "";
  const Json &before = facts["judge"].at("before"), &after = facts["judge"].at("after");
  std::string table =
      "<h2>Judge against people</h2>\n<table>\n<tr><td></td><td>before</td><td>after</td></tr>\n";
  for (const auto& [name, value] : before.items())
    table += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n", xml_escaped(name),
                         text_of(value), text_of(after.at(name)));
  return table + "</table>\n";
}

}  // namespace

std::string self_reward_page(const Json& facts, const std::vector<LoggedRow>& rows) {
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>iteration "
      "{0}</title>"
      "<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 "
      "1em}}"
      "td{{padding:.1em .8em .1em 0}}pre{{border:1px solid #ccc;padding:.6em;white-space:pre-wrap}}"
      "</style></head><body>\n<h1>Iteration {0}</h1>\n<table>\n",
      text_of(facts.at("iteration")));
  for (const auto& [name, value] : facts.items()) {
    if (!value.is_structured())
      page += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", xml_escaped(name), text_of(value));
  }
  page += "</table>\n" + agreement_table(facts);
  Curve histogram;
  for (const auto& [score, count] : facts.at("score_histogram").items()) {
    histogram.steps.push_back(std::stod(score));
    histogram.values.push_back(count.get<double>());
  }
  page += svg_plot("answers by score", {{"answers", histogram}});
  if (const Json& lengths = facts.at("length_histogram"); !lengths.is_null()) {
    std::vector<BarSeries> series{{"chosen", lengths.at("chosen").get<std::vector<double>>()}};
    if (facts.at("mean_length_rejected") > 0)
      series.push_back({"rejected", lengths.at("rejected").get<std::vector<double>>()});
    page += svg_histogram("pairs by characters", lengths.at("low"), lengths.at("width"), series);
  }
  for (const auto& [title, names] :
       {std::pair{"log-probability", std::vector{"logps/chosen", "logps/rejected"}},
        std::pair{"reward margin", std::vector{"rewards/margins"}},
        std::pair{"loss", std::vector{"loss"}}}) {
    std::vector<NamedCurve> curves;
    for (const char* name : names) {
      Curve curve = curve_of(rows, name);
      if (!curve.values.empty()) curves.push_back({name, std::move(curve)});
    }
    if (!curves.empty()) page += svg_plot(title, curves);
  }
  page += "<h2>Samples</h2>\n";
  for (const Json& sample : facts.at("samples")) {
    page += fmt::format("<pre>{}\n\n{}\n\nscore {}</pre>\n", text_of(sample.at("prompt")),
                        text_of(sample.at("answer")), text_of(sample.at("score")));
  }
  return page + "</body></html>\n";
}

}  // namespace lathe
