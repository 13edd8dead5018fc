#include "trainer/objective/layer_terms.h"

#include <ATen/ATen.h>
#include <fmt/core.h>

#include <cmath>
#include <regex>
#include <stdexcept>

#include "parallel/unit_gate.h"
#include "trainer/kernels/linear.h"
#include "trainer/objective/attention_maps.h"

namespace lathe {
namespace {

void check_heads(const DistillConfig& config, const ModelConfig& student,
                 const ModelConfig& teacher, const TensorParallel& tp) {
  if (config.attention_heads == "mean") {
    if (tp.size() == 1) return;
    throw std::invalid_argument(
        "distill.attention_heads: mean needs all heads of a layer at once, which parallel.tp cuts "
        "over ranks; use attention_heads: each, or parallel.tp: 1");
  }
  if (student.num_attention_heads == teacher.num_attention_heads) return;
  throw std::invalid_argument(fmt::format(
      "distill.attention_heads: each compares head by head, but the student has {} heads and the "
      "teacher {}; set distill.attention_heads: mean",
      student.num_attention_heads, teacher.num_attention_heads));
}

// A token that one layer sees and the other does not has no finite distance.
void check_windows(const LayerPair& pair, const Scoring& student, const Scoring& teacher) {
  if (student.window == teacher.window) return;
  const auto say = [](int64_t window) {
    return window == 0 ? std::string("all tokens") : fmt::format("the last {} tokens", window);
  };
  throw std::invalid_argument(fmt::format(
      "distill.layer_map: layer {} of the student attends to {}, layer {} of the teacher to {}: "
      "their attention maps can not be compared; pair layers of one kind",
      pair.student, say(student.window), pair.teacher, say(teacher.window)));
}

std::unique_ptr<Parameter> make_projection(const std::string& name, int64_t out, Model& student,
                                           uint64_t seed) {
  ModelConfig config;
  const int64_t in = student.config().hidden_size;
  config.initializer_range = 1 / std::sqrt(static_cast<double>(in));
  const at::Tensor like = student.parameters().front()->value;
  // As adapters: in float32, whatever the model computes in.
  const at::ScalarType type = at::promote_types(like.scalar_type(), at::kFloat);
  auto made = std::make_unique<Parameter>(
      Parameter{.name = name,
                .value = at::empty({out, in}, like.options().requires_grad(false).dtype(type))
                             .set_requires_grad(true),
                .cut = student.tensor_parallel().copy({out, in})});
  initialize(config, *made, seed);
  return made;
}

at::Tensor wide(const at::Tensor& x) {
  return x.to(at::promote_types(x.scalar_type(), at::kFloat));
}

at::Tensor distance(const at::Tensor& student_NH, const at::Tensor& teacher_NH,
                    const std::string& loss) {
  if (loss == "cosine") return 1 - at::cosine_similarity(student_NH, teacher_NH, 1);
  return (student_NH - teacher_NH).square().mean(1);
}

}  // namespace

std::vector<LayerPair> layer_pairs(const std::vector<std::string>& layer_map,
                                   int64_t student_layers, int64_t teacher_layers) {
  std::vector<LayerPair> pairs;
  if (layer_map.empty()) {
    for (int64_t i = 1; i <= student_layers; ++i)
      pairs.push_back({i, (i * teacher_layers + student_layers - 1) / student_layers});
    return pairs;
  }
  static const std::regex form("([0-9]{1,6}):([0-9]{1,6})");
  for (const std::string& text : layer_map) {
    std::smatch match;
    if (!std::regex_match(text, match, form)) {
      throw std::invalid_argument("distill.layer_map: \"" + text +
                                  "\" is no pair of layers; write student:teacher, as in 2:4");
    }
    const LayerPair pair{std::stoll(match[1]), std::stoll(match[2])};
    if (pair.student > student_layers || pair.teacher > teacher_layers) {
      throw std::invalid_argument(
          fmt::format("distill.layer_map: {} asks for a layer that is not there; the student has "
                      "{}, the teacher {} (0 is the embedding)",
                      text, student_layers, teacher_layers));
    }
    pairs.push_back(pair);
  }
  return pairs;
}

LayerTerms::LayerTerms(const DistillConfig& config, Model& student, const ModelConfig& teacher,
                       uint64_t seed)
    : config_(config),
      tp_(student.tensor_parallel()),
      num_heads_(student.config().num_attention_heads),
      unit_(static_cast<int>(student.units().size())),
      pairs_(layer_pairs(config.layer_map, student.config().num_hidden_layers,
                         teacher.num_hidden_layers)) {
  if (config.attention_weight > 0) {
    check_heads(config, student.config(), teacher, tp_);
    for (const LayerPair& pair : pairs_) {
      if (pair.student > 0 && pair.teacher > 0) maps_.push_back(pair);
    }
    if (maps_.empty()) {
      throw std::invalid_argument(
          "distill.layer_map has embeddings only, which have no attention for attention_weight");
    }
  }
  if (config.hidden_weight == 0 || student.config().hidden_size == teacher.hidden_size) return;
  for (size_t i = 0; i < pairs_.size(); ++i) {
    projections_.push_back(make_projection(fmt::format("distill.projection.{}.weight", i),
                                           teacher.hidden_size, student, seed));
  }
}

std::vector<Parameter*> LayerTerms::parameters() {
  std::vector<Parameter*> all;
  for (const auto& projection : projections_) all.push_back(projection.get());
  return all;
}

LayerStates LayerTerms::wanted(bool student) const {
  LayerStates states;
  for (const LayerPair& pair : pairs_) {
    if (config_.hidden_weight > 0)
      states.hidden_TH[student ? pair.student : pair.teacher] = at::Tensor();
  }
  for (const LayerPair& pair : maps_) states.attention[student ? pair.student : pair.teacher] = {};
  return states;
}

at::Tensor LayerTerms::hidden_sum(const LayerStates& student, const LayerStates& teacher,
                                  const Batch& batch) {
  const at::Tensor chosen_N = (batch.targets != kIgnore).nonzero().squeeze(1),
                   weights_N = batch.weights.index_select(0, chosen_N).to(at::kDouble);
  std::vector<at::Tensor> own;
  for (const LayerPair& pair : pairs_)
    own.push_back(wide(student.hidden_TH.at(pair.student).index_select(0, chosen_N)));
  if (!projections_.empty()) {
    own = into_unit(sharding_, unit_, std::move(own));
    for (size_t i = 0; i < own.size(); ++i) own[i] = linear(own[i], {projections_[i].get()});
    own = out_of_unit(sharding_, unit_, std::move(own));
  }
  at::Tensor sum = at::zeros({}, weights_N.options());
  for (size_t i = 0; i < pairs_.size(); ++i) {
    const at::Tensor goal_NH =
        wide(teacher.hidden_TH.at(pairs_[i].teacher)).index_select(0, chosen_N);
    sum = sum + at::dot(distance(own[i], goal_NH, config_.hidden_loss).to(at::kDouble), weights_N);
  }
  return sum / static_cast<double>(pairs_.size());
}

at::Tensor LayerTerms::attention_sum(const LayerStates& student, const LayerStates& teacher,
                                     const Batch& batch) const {
  const MapDistance how{.kl = config_.attention_loss == "kl",
                        .mean_heads = config_.attention_heads == "mean",
                        .num_heads = num_heads_,
                        .tp = tp_};
  const at::Tensor weights_T = batch.weights * (batch.targets != kIgnore);
  at::Tensor sum = at::zeros({}, weights_T.options().dtype(at::kDouble));
  for (const LayerPair& pair : maps_) {
    const LayerStates::Attention& own = student.attention.at(pair.student);
    const LayerStates::Attention& goal = teacher.attention.at(pair.teacher);
    check_windows(pair, own.scoring, goal.scoring);
    sum = sum + attention_map_loss(own, goal, batch.cu_seqlens, weights_T, how);
  }
  return sum / static_cast<double>(maps_.size());
}

at::Tensor LayerTerms::operator()(const LayerStates& student, const LayerStates& teacher,
                                  const Batch& batch, bool evaluation) {
  at::Tensor hidden = at::zeros({}, batch.weights.options().dtype(at::kDouble)), maps = hidden;
  if (config_.hidden_weight > 0) hidden = hidden_sum(student, teacher, batch);
  if (!maps_.empty()) maps = attention_sum(student, teacher, batch);
  const at::Tensor sums =
      at::stack({hidden.detach(), maps.detach(),
                 at::full_like(maps, static_cast<double>(batch.num_targets)).detach()});
  at::Tensor& all = sums_[evaluation ? 1 : 0];
  all = all.defined() ? all + sums : sums;
  return config_.hidden_weight * hidden + config_.attention_weight * maps;
}

void LayerTerms::take_metrics(Group& group, bool evaluation, MetricRow& into) {
  at::Tensor& all = sums_[evaluation ? 1 : 0];
  at::Tensor sums = all.defined() ? all : at::zeros({3}, at::kDouble).to(group.device());
  all = at::Tensor();
  group.all_reduce(sums, Reduce::kSum);
  sums = sums.cpu();
  const double targets = std::max(1.0, sums[2].item<double>());
  const std::string prefix = evaluation ? "eval_" : "";
  if (config_.hidden_weight > 0)
    into.emplace_back(prefix + "hidden_loss", sums[0].item<double>() / targets);
  if (!maps_.empty())
    into.emplace_back(prefix + "attention_loss", sums[1].item<double>() / targets);
}

}  // namespace lathe
