#include "trainer/optimizers/slice_optimizer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <regex>
#include <stdexcept>

namespace lathe {
namespace {

void check(const Slice& slice) {
  const at::ScalarType type = slice.value.scalar_type();
  if (type != at::kFloat && type != at::kBFloat16) {
    throw std::invalid_argument("optimizer: " + slice.name + " is " + c10::toString(type) +
                                "; expected float32 or bfloat16 (model.dtype)");
  }
  if (!slice.value.is_cpu())
    throw std::invalid_argument("optimizer: " + slice.name + " is not on the CPU");
}

bool found_in(const std::string& name, const std::string& pattern) {
  try {
    return std::regex_search(name, std::regex(pattern));
  } catch (const std::regex_error& error) {
    throw std::invalid_argument("optimizer.lr_groups: `" + pattern +
                                "` is no regular expression: " + error.what());
  }
}

}  // namespace

SliceOptimizer::SliceOptimizer(const OptimizerConfig& config, Sharding& sharding, bool masters)
    : config_(config), sharding_(sharding), states_(sharding.slices().size()) {
  for (size_t i = 0; i < states_.size(); ++i) add_slice(i, masters);
}

void SliceOptimizer::add_slice(size_t index, bool masters) {
  const Slice& slice = slices()[index];
  check(slice);
  const at::Tensor value = slice.value.detach();
  const bool is_master = value.scalar_type() == at::kFloat;
  masters_.push_back(is_master ? value : masters ? value.to(at::kFloat) : at::Tensor());
  if (masters_.back().defined())
    states_[index].push_back(state_of(index, "master", masters_.back()));
  averages_.emplace_back();
  if (config_.ema_decay > 0) {
    averages_.back() = value.to(at::kFloat, false, /*copy=*/true);
    states_[index].push_back(state_of(index, "ema", averages_.back()));
  }
  // Decay is for matrices: norms and biases have one dimension.
  double scale = 1, decay = slice.shape.size() >= 2 ? config_.weight_decay : 0;
  for (const RateGroup& group : config_.lr_groups) {
    if (!found_in(slice.name, group.pattern)) continue;
    scale *= group.lr_scale;
    if (group.weight_decay >= 0) decay = group.weight_decay;
  }
  rate_scales_.push_back(scale);
  decays_.push_back(decay);
}

StateSlice SliceOptimizer::state_of(size_t slice, const std::string& kind,
                                    const at::Tensor& values) const {
  const Slice& s = slices()[slice];
  return {.name = kind + "/" + s.name,
          .shape = s.cut.whole_shape(s.shape),
          .offset = s.offset,
          .values = values,
          .cut = s.cut};
}

at::Tensor SliceOptimizer::add_state(size_t slice, const std::string& kind,
                                     std::vector<int64_t> shape) {
  StateSlice state = state_of(slice, kind, {});
  int64_t count = slices()[slice].value.numel();
  if (!shape.empty()) {
    count = 1;
    for (const int64_t size : shape) count *= size;
    state.shape = std::move(shape);
    state.offset = 0;
  }
  state.values = at::zeros({count}, at::kFloat);
  states_[slice].push_back(state);
  return state.values;
}

bool SliceOptimizer::update_if_finite(double gradient_norm, double clip_factor,
                                      double learning_rate) {
  if (!std::isfinite(gradient_norm)) {
    sharding_.zero_gradients();
    return false;
  }
  const at::NoGradGuard no_grad;
  ++updates_;
  staged_masters_.clear();
  update_all({clip_factor, learning_rate, updates_});
  update_averages();
  // The pass has zeroed what this rank owns; elsewhere its own sums of this step are left.
  sharding_.zero_rest();
  return true;
}

void SliceOptimizer::update_all(const Update& update) {
  for (size_t i = 0; i < slices().size(); ++i) {
    Slice& slice = slices()[i];
    if (update.clip_factor != 1) slice.grad.mul_(update.clip_factor);
    move({.index = i,
          .master = masters_[i],
          .grad = slice.grad,
          .learning_rate = update.learning_rate * rate_scales_[i],
          .decay = decays_[i]},
         update);
    const at::Tensor value = slice.value.detach();
    if (value.data_ptr() != masters_[i].data_ptr()) value.copy_(masters_[i]);
    slice.grad.zero_();
  }
}

void SliceOptimizer::update_averages() {
  for (size_t i = 0; i < averages_.size(); ++i) {
    if (!averages_[i].defined()) continue;
    const at::Tensor now = masters_[i].defined() ? masters_[i] : slices()[i].value.detach();
    averages_[i].lerp_(now.to(at::kFloat), 1 - config_.ema_decay);
  }
}

std::vector<StateSlice> SliceOptimizer::state() {
  std::vector<std::vector<StateSlice>> all = states_;
  staged_masters_.assign(masters_.size(), {});
  for (size_t i = 0; i < masters_.size(); ++i) {
    if (masters_[i].defined()) continue;
    staged_masters_[i] = slices()[i].value.detach().to(at::kFloat);
    all[i].push_back(state_of(i, "master", staged_masters_[i]));
  }
  stage(all);
  std::vector<StateSlice> result;
  for (const auto& each : all) result.insert(result.end(), each.begin(), each.end());
  return result;
}

void SliceOptimizer::refresh_values() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < masters_.size(); ++i) {
    const at::Tensor& from =
        masters_[i].defined() || staged_masters_.empty() ? masters_[i] : staged_masters_[i];
    const at::Tensor value = slices()[i].value.detach();
    if (from.defined() && value.data_ptr() != from.data_ptr()) value.copy_(from);
  }
  unstage();
  staged_masters_.clear();
}

bool SliceOptimizer::use_average() {
  const at::NoGradGuard no_grad;
  if (config_.ema_decay == 0) return false;
  for (size_t i = 0; i < averages_.size(); ++i) slices()[i].value.detach().copy_(averages_[i]);
  return true;
}

}  // namespace lathe
