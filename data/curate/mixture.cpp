#include "data/curate/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

namespace lathe {
namespace {

using nlohmann::ordered_json;

std::string tier_of(const MixtureSource& source) {
  constexpr const char* kNames[] = {"gold", "silver", "synthetic"};
  return kNames[static_cast<size_t>(source.tier)];
}

void check(const MixtureOptions& options, const std::vector<MixtureSource>& sources) {
  std::set<std::string> names, known{"gold", "silver", "synthetic"};
  std::string list;
  for (const MixtureSource& source : sources) {
    names.insert(source.name);
    list += (list.empty() ? "" : ", ") + source.name;
  }
  known.insert(names.begin(), names.end());
  double sum = 0;
  for (const auto& [name, share] : options.shares) {
    if (!known.contains(name))
      throw std::invalid_argument(fmt::format(
          "mix.shares: `{}` is no source and no tier; expected one of {}, gold, silver, synthetic",
          name, list));
    if (!(share > 0 && share <= 1))
      throw std::invalid_argument(
          fmt::format("mix.shares: {} has {}, expected above 0 and up to 1", name, share));
    sum += share;
  }
  if (sum > 1 + 1e-9)
    throw std::invalid_argument(
        fmt::format("mix.shares: they add up to {}, expected at most 1", sum));
  for (const auto& [name, words] : options.most_words) {
    if (!names.contains(name))
      throw std::invalid_argument(fmt::format(
          "mix.most_words: `{}` is no source; expected one of {}", name, list));
    if (!(words > 0))
      throw std::invalid_argument(
          fmt::format("mix.most_words: {} has {}, expected above 0", name, words));
  }
  if (!(options.most_repeats > 0 && options.most_repeats <= 1000))
    throw std::invalid_argument(fmt::format(
        "mix.most_repeats is {}, expected above 0 and up to 1000", options.most_repeats));
}

// What each asks for, by its own name, else by its tier's in proportion to its words.
std::vector<double> asked_shares(const MixtureOptions& options,
                                 const std::vector<MixtureSource>& sources) {
  std::map<std::string, double> words;  // of all that go by a key; "": of those without a share
  std::vector<std::string> keys;
  for (const MixtureSource& source : sources) {
    keys.push_back(options.shares.contains(source.name)       ? source.name
                   : options.shares.contains(tier_of(source)) ? tier_of(source)
                                                              : "");
    words[keys.back()] += source.words;
  }
  double rest = 1;
  for (const auto& [key, unused] : words) rest -= key.empty() ? 0 : options.shares.at(key);
  if (words.contains("") && rest < 1e-9)
    throw std::invalid_argument(fmt::format(
        "mix.shares: they leave nothing for {}; give it a share",
        sources[static_cast<size_t>(std::find(keys.begin(), keys.end(), "") - keys.begin())].name));
  std::vector<double> shares;
  for (size_t i = 0; i < sources.size(); ++i)
    shares.push_back((keys[i].empty() ? rest : options.shares.at(keys[i])) * sources[i].words /
                     words[keys[i]]);
  return shares;
}

}  // namespace

std::vector<MixtureSource> plan_mixture(const MixtureOptions& options,
                                        std::vector<MixtureSource> sources) {
  check(options, sources);
  std::erase_if(sources, [](const MixtureSource& source) { return source.words <= 0; });
  std::vector<double> most;  // weights
  double left = 0;
  for (const MixtureSource& source : sources) {
    const auto cap = options.most_words.find(source.name);
    most.push_back(cap == options.most_words.end()
                       ? options.most_repeats
                       : std::min(options.most_repeats, cap->second / source.words));
    left += source.words;
  }
  if (options.shares.empty()) {
    for (size_t i = 0; i < sources.size(); ++i) sources[i].weight = std::min(1.0, most[i]);
  } else {
    const std::vector<double> shares = asked_shares(options, sources);
    std::vector<bool> full(sources.size());
    for (bool again = true; again;) {
      again = false;
      double open = 0;
      for (size_t i = 0; i < sources.size(); ++i) open += full[i] ? 0 : shares[i];
      double taken = 0;
      for (size_t i = 0; i < sources.size(); ++i) {
        if (full[i]) continue;
        sources[i].weight = left * shares[i] / open / sources[i].words;
        if (sources[i].weight <= most[i]) continue;
        sources[i].weight = most[i];
        taken += most[i] * sources[i].words;
        full[i] = again = true;
      }
      left -= taken;
    }
  }
  double sum = 0;
  for (const MixtureSource& source : sources) sum += source.weight * source.words;
  for (MixtureSource& source : sources) source.share = source.weight * source.words / sum;
  return sources;
}

std::string mixture_json(const std::vector<MixtureSource>& mixture) {
  ordered_json object = {{"format", "lathe mixture"}, {"version", 1}};
  object["sources"] = ordered_json::array();
  for (const MixtureSource& source : mixture)
    object["sources"].push_back({{"path", "kept/" + source.name},
                                 {"tier", tier_of(source)},
                                 {"words", source.words},
                                 {"weight", source.weight},
                                 {"share", source.share}});
  return object.dump(1) + "\n";
}

std::optional<std::vector<MixturePath>> read_mixture(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "mixture.json").string();
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  const auto refuse = [&](const std::string& found) {
    return std::invalid_argument(path + ": found " + found +
                                 ", expected what lathe curate writes; run it again");
  };
  try {
    const ordered_json object = ordered_json::parse(in);
    if (object.at("format") != "lathe mixture" || object.at("version") != 1)
      throw refuse("another format or version");
    std::vector<MixturePath> paths;
    for (const auto& source : object.at("sources")) {
      const std::filesystem::path part = source.at("path").get<std::string>();
      const double weight = source.at("weight").get<double>();
      if (!(weight > 0 && weight <= 1000)) throw refuse(fmt::format("the weight {}", weight));
      paths.push_back({(std::filesystem::path(folder) / part).string(), weight});
    }
    return paths;
  } catch (const nlohmann::json::exception& fault) {
    throw refuse(fault.what());
  }
}

}  // namespace lathe
