#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "data/corpus/corpus.h"
#include "data/corpus/dataset_info.h"
#include "data/curate/mixture.h"
#include "recipes/parts.h"

namespace lathe {
namespace {

bool is_path(const std::string& path) {
  if (std::filesystem::exists(path)) return true;
  try {
    expand_paths(path);
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  }
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string part = text.substr(begin, end - begin);
    part.erase(0, part.find_first_not_of(' '));
    part.erase(part.find_last_not_of(' ') + 1);
    if (!part.empty()) parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

[[noreturn]] void refuse(const DataSection& data, const std::string& name) {
  const std::vector<std::string> names = dataset_names(data.dataset_dir);
  const std::string known =
      names.empty() ? fmt::format("{}/dataset_info.json is not there either", data.dataset_dir)
                    : fmt::format("{}/dataset_info.json names {}", data.dataset_dir, fmt::join(names, ", "));
  throw std::invalid_argument(fmt::format("{}: there is no such file, folder or match of the pattern; {}", name, known));
}

DataSource resolve(const DataSection& data, const DataSource& source, const std::string& name,
                   std::vector<std::string>& notes) {
  const auto found = find_named_dataset(data.dataset_dir, name);
  if (!found) refuse(data, name);
  const std::string shape(shape_name(found->reading.shape));
  notes.push_back(fmt::format("data: {} is {}, {}, as {}/dataset_info.json says", name, found->path, shape, data.dataset_dir));
  DataSource resolved = source;
  resolved.path = found->path;
  // What the config says itself wins.
  if (source.shape == "auto") resolved.shape = shape;
  if (source.columns.empty()) resolved.columns = found->reading.columns;
  if (source.tags.empty()) resolved.tags = found->reading.tags;
  return resolved;
}

void follow_order(const std::string& path, const WrittenMixture& mixture, DataSection& data) {
  if (mixture.order_by.empty()) return;
  const std::string order = mixture.descending ? "descending" : "ascending";
  if (!data.order.empty() && data.order != order)
    throw std::invalid_argument(fmt::format(
        "data.order is {}, but the mixture {} goes by {}, {}; leave data.order out, or let mixtures agree", data.order, path,
        mixture.order_by, order));
  data.order = order;
}

// Each folder of a mixture as a source of its own.
void add_mixture(const DataSource& source, const WrittenMixture& mixture, bool train, DataSection& data,
                 std::vector<DataSource>& resolved, std::vector<std::string>& notes) {
  std::string names;
  for (const WrittenMixture::Source& part : mixture.sources) {
    DataSource one = source;
    one.path = part.path;
    one.weight *= part.weight;
    if (!mixture.order_by.empty()) one.order_by = kOrderField;
    names += fmt::format("{}{} x {:.3g}", names.empty() ? "" : ", ", part.path, one.weight);
    for (size_t s = 0; train && s < part.weights.size(); ++s) {
      one.weights.push_back(fmt::format("{}", source.weight * part.weights[s]));
      if (s > 0) names += fmt::format(", then x {:.3g}", source.weight * part.weights[s]);
    }
    if (train || one.weight > 0) resolved.push_back(std::move(one));
  }
  notes.push_back(fmt::format("data: {} is a mixture: {}", source.path, names));
  if (train) follow_order(source.path, mixture, data);
  if (!train || mixture.starts.empty()) return;
  std::vector<std::string> starts;
  for (const double start : mixture.starts) starts.push_back(fmt::format("{}", start));
  if (!data.stages.empty() && data.stages != starts)
    throw std::invalid_argument(fmt::format(
        "data.stages begin at {}, but the mixture {} brings stages that begin at {}; leave data.stages out, or let "
        "mixtures agree",
        fmt::join(data.stages, ", "), source.path, fmt::join(starts, ", ")));
  data.stages = std::move(starts);
}

std::vector<DataSource> resolve_all(DataSection& data, const std::vector<DataSource>& sources, bool train,
                                    std::vector<std::string>& notes) {
  std::vector<DataSource> resolved;
  for (const DataSource& source : sources) {
    if (const auto mixture = read_mixture(source.path)) {
      add_mixture(source, *mixture, train, data, resolved, notes);
      continue;
    }
    if (is_path(source.path)) {
      resolved.push_back(source);
      continue;
    }
    const std::vector<std::string> parts = split_at_commas(source.path);
    if (parts.empty()) refuse(data, source.path);
    for (const std::string& part : parts) {
      DataSource one = source;
      one.path = part;
      resolved.push_back(is_path(part) ? one : resolve(data, one, part, notes));
    }
  }
  for (DataSource& one : resolved) {
    if (!train) one.order_by.clear();
    else if (one.order_by.empty()) one.order_by = data.order_by;
  }
  return resolved;
}

}  // namespace

std::vector<std::string> resolve_sources(DataSection& data) {
  std::vector<std::string> notes;
  data.train = resolve_all(data, data.train, true, notes);
  data.eval = resolve_all(data, data.eval, false, notes);
  return notes;
}

}  // namespace lathe
