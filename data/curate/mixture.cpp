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

// What one stage asks for.
void check(const MixtureOptions& options, const std::map<std::string, double>& shares,
           const std::vector<MixtureSource>& sources) {
  std::set<std::string> names, known{"gold", "silver", "synthetic"};
  std::string list;
  for (const MixtureSource& source : sources) {
    names.insert(source.name);
    list += (list.empty() ? "" : ", ") + source.name;
  }
  known.insert(names.begin(), names.end());
  double sum = 0;
  for (const auto& [name, share] : shares) {
    if (!known.contains(name))
      throw std::invalid_argument(fmt::format(
          "mix.shares: `{}` is no source and no tier; expected one of {}, gold, silver, synthetic",
          name, list));
    if (!(share > 0 && share <= 1) && !(share == 0 && !options.stages.empty()))
      throw std::invalid_argument(
          fmt::format("mix.shares: {} has {}, expected above 0 and up to 1 (0 where there are "
                      "stages)",
                      name, share));
    sum += share;
  }
  if (sum > 1 + 1e-9)
    throw std::invalid_argument(
        fmt::format("mix.shares: they add up to {}, expected at most 1", sum));
  for (const auto& [name, words] : options.most_words) {
    if (!names.contains(name))
      throw std::invalid_argument(
          fmt::format("mix.most_words: `{}` is no source; expected one of {}", name, list));
    if (!(words > 0))
      throw std::invalid_argument(
          fmt::format("mix.most_words: {} has {}, expected above 0", name, words));
  }
  if (!(options.most_repeats > 0 && options.most_repeats <= 1000))
    throw std::invalid_argument(fmt::format(
        "mix.most_repeats is {}, expected above 0 and up to 1000", options.most_repeats));
}

// What each asks for, by its own name, else by its tier's in proportion to its words.
std::vector<double> asked_shares(const std::map<std::string, double>& asked,
                                 const std::vector<MixtureSource>& sources) {
  std::map<std::string, double> words;  // of all that go by a key; "": of those without a share
  std::vector<std::string> keys;
  for (const MixtureSource& source : sources) {
    keys.push_back(asked.contains(source.name)       ? source.name
                   : asked.contains(tier_of(source)) ? tier_of(source)
                                                     : "");
    words[keys.back()] += source.words;
  }
  double rest = 1;
  for (const auto& [key, unused] : words) rest -= key.empty() ? 0 : asked.at(key);
  if (words.contains("") && rest < 1e-9)
    throw std::invalid_argument(fmt::format(
        "mix.shares: they leave nothing for {}; give it a share",
        sources[static_cast<size_t>(std::find(keys.begin(), keys.end(), "") - keys.begin())].name));
  std::vector<double> shares;
  for (size_t i = 0; i < sources.size(); ++i)
    shares.push_back((keys[i].empty() ? rest : asked.at(keys[i])) * sources[i].words /
                     words[keys[i]]);
  return shares;
}

// Fills weight and share.
void plan_stage(const MixtureOptions& options, const std::map<std::string, double>& asked,
                std::vector<MixtureSource>& sources) {
  check(options, asked, sources);
  std::vector<double> most;  // weights
  double left = 0;
  for (const MixtureSource& source : sources) {
    const auto cap = options.most_words.find(source.name);
    most.push_back(cap == options.most_words.end()
                       ? options.most_repeats
                       : std::min(options.most_repeats, cap->second / source.words));
    left += source.words;
  }
  if (asked.empty()) {
    for (size_t i = 0; i < sources.size(); ++i) sources[i].weight = std::min(1.0, most[i]);
  } else {
    const std::vector<double> shares = asked_shares(asked, sources);
    std::vector<bool> full(sources.size());
    for (bool again = true; again;) {
      again = false;
      double open = 0;
      for (size_t i = 0; i < sources.size(); ++i) open += full[i] ? 0 : shares[i];
      double taken = 0;
      for (size_t i = 0; i < sources.size(); ++i) {
        if (full[i]) continue;
        sources[i].weight = shares[i] == 0 ? 0 : left * shares[i] / open / sources[i].words;
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
  if (!sources.empty() && sum <= 0)
    throw std::invalid_argument("mix.shares: a stage takes nothing; give a source a share");
  for (MixtureSource& source : sources) source.share = source.weight * source.words / sum;
}

}  // namespace

std::vector<MixtureSource> plan_mixture(const MixtureOptions& options,
                                        std::vector<MixtureSource> sources) {
  check(options, options.shares, sources);
  for (const MixtureStage& stage : options.stages) {
    check(options, stage.shares, sources);
    if (!(stage.start > 0))
      throw std::invalid_argument(fmt::format(
          "mix.stages: one starts at {}, expected a step, or a share of all steps above 0: "
          "mix.shares is what training starts with",
          stage.start));
  }
  std::erase_if(sources, [](const MixtureSource& source) { return source.words <= 0; });
  const auto keep = [&] {
    for (MixtureSource& source : sources) {
      source.weights.push_back(source.weight);
      source.shares.push_back(source.share);
    }
  };
  if (!options.stages.empty()) {
    plan_stage(options, options.shares, sources);
    keep();
    for (const MixtureStage& stage : options.stages) {
      plan_stage(options, stage.shares, sources);
      keep();
    }
  }
  plan_stage(options, options.shares, sources);
  return sources;
}

std::string mixture_json(const MixtureOptions& options, const std::vector<MixtureSource>& mixture) {
  ordered_json object = {{"format", "lathe mixture"}, {"version", 1}};
  if (!options.stages.empty()) object["stages"] = {0.0};
  for (const MixtureStage& stage : options.stages) object["stages"].push_back(stage.start);
  if (!options.order_by.empty())
    object["order"] = {{"by", options.order_by}, {"descending", options.descending}};
  object["sources"] = ordered_json::array();
  for (const MixtureSource& source : mixture) {
    object["sources"].push_back({{"path", "kept/" + source.name},
                                 {"tier", tier_of(source)},
                                 {"words", source.words},
                                 {"weight", source.weight},
                                 {"share", source.share}});
    if (!options.stages.empty()) object["sources"].back()["weights"] = source.weights;
  }
  return object.dump(1) + "\n";
}

std::optional<WrittenMixture> read_mixture(const std::string& folder) {
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
    WrittenMixture mixture;
    if (object.contains("stages")) mixture.starts = object["stages"].get<std::vector<double>>();
    if (object.contains("order")) {
      mixture.order_by = object["order"].at("by").get<std::string>();
      mixture.descending = object["order"].at("descending").get<bool>();
    }
    const auto check_weight = [&](double weight) {
      const bool may_be_none = !mixture.starts.empty();
      if (!(weight > 0 || (may_be_none && weight == 0)) || weight > 1000)
        throw refuse(fmt::format("the weight {}", weight));
    };
    for (const auto& source : object.at("sources")) {
      const std::filesystem::path part = source.at("path").get<std::string>();
      WrittenMixture::Source& one = mixture.sources.emplace_back();
      one.path = (std::filesystem::path(folder) / part).string();
      one.weight = source.at("weight").get<double>();
      if (!mixture.starts.empty()) one.weights = source.at("weights").get<std::vector<double>>();
      if (one.weights.size() != mixture.starts.size())
        throw refuse(
            fmt::format("{} weights for {} stages", one.weights.size(), mixture.starts.size()));
      check_weight(one.weight);
      for (const double weight : one.weights) check_weight(weight);
    }
    return mixture;
  } catch (const nlohmann::json::exception& fault) {
    throw refuse(fault.what());
  }
}

}  // namespace lathe
