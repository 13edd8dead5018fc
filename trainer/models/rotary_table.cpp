#include "trainer/models/rotary_table.h"

#include <cmath>
#include <numbers>

namespace lathe {
namespace {

int64_t turned_elements(const ModelConfig& config) {
  return static_cast<int64_t>(static_cast<double>(config.head_dim) * config.partial_rotary_factor);
}

// Slow frequencies are divided by the factor, fast ones stay, those between are blended by
// wavelength.
double llama3_frequency(double inverse, const RopeScaling& s) {
  const auto original = static_cast<double>(s.original_max_position_embeddings);
  const double turns = original * inverse / (2 * std::numbers::pi);  // within the original context
  if (turns < s.low_freq_factor) return inverse / s.factor;
  if (turns > s.high_freq_factor) return inverse;
  const double smooth = (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - smooth) * inverse / s.factor + smooth * inverse;
}

// The pair of elements that makes `turns` full turns within the original context.
double yarn_pair(double turns, double original, const ModelConfig& config) {
  return static_cast<double>(turned_elements(config)) *
         std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.rope_theta));
}

void scale_yarn(RotaryFrequencies& frequencies, const ModelConfig& config) {
  const RopeScaling& s = config.rope_scaling;
  const auto original = static_cast<double>(s.original_max_position_embeddings > 0
                                                ? s.original_max_position_embeddings
                                                : config.max_position_embeddings);
  const double low = std::max(std::floor(yarn_pair(s.beta_fast, original, config)), 0.0);
  double high = std::min(std::ceil(yarn_pair(s.beta_slow, original, config)),
                         static_cast<double>(turned_elements(config) - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.inverse.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    const double inverse = frequencies.inverse[i];
    frequencies.inverse[i] = static_cast<float>(inverse / s.factor * ramp + inverse * (1 - ramp));
  }
  frequencies.factor = s.attention_factor > 0 ? s.attention_factor
                       : s.factor > 1         ? 0.1 * std::log(s.factor) + 1
                                              : 1;
}

}  // namespace

RotaryFrequencies rotary_frequencies(const ModelConfig& config) {
  RotaryFrequencies out;
  const RopeScaling& scaling = config.rope_scaling;
  const int64_t turned = turned_elements(config);
  for (int64_t i = 0; i < turned / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(turned);
    double inverse = 1 / std::pow(config.rope_theta, exponent);
    if (scaling.type == "linear") inverse /= scaling.factor;
    if (scaling.type == "llama3") inverse = llama3_frequency(inverse, scaling);
    out.inverse.push_back(static_cast<float>(inverse));
  }
  if (scaling.type == "yarn") {
    scale_yarn(out, config);
  } else if (scaling.type != "default" && scaling.type != "linear" && scaling.type != "llama3") {
    throw std::invalid_argument(
        "config.json: rope_scaling type \"" + scaling.type +
        "\" is not supported; those that are: default, linear, llama3, yarn");
  }
  return out;
}

RotaryFrequencies local_rotary_frequencies(const ModelConfig& config) {
  ModelConfig local = config;
  local.rope_theta = config.rope_local_theta;
  local.rope_scaling = {};
  return rotary_frequencies(local);
}

RotaryTable::RotaryTable(RotaryFrequencies frequencies, at::Device device)
    : frequencies_(std::move(frequencies)), device_(device) {}

void RotaryTable::grow(int64_t length) {
  const auto half = static_cast<int64_t>(frequencies_.inverse.size());
  at::Tensor cos = at::empty({length, half}, at::kFloat), sin = at::empty_like(cos);
  float* c = cos.mutable_data_ptr<float>();
  float* s = sin.mutable_data_ptr<float>();
  for (int64_t position = 0; position < length; ++position) {
    for (int64_t i = 0; i < half; ++i) {
      // The product is rounded to float32 as transformers does.
      const double angle = static_cast<float>(position) * frequencies_.inverse[i];
      *c++ = static_cast<float>(std::cos(angle) * frequencies_.factor);
      *s++ = static_cast<float>(std::sin(angle) * frequencies_.factor);
    }
  }
  cos_ = cos.to(device_);
  sin_ = sin.to(device_);
}

RotaryAngles RotaryTable::at(const at::Tensor& positions_T, int64_t limit) {
  if (!cos_.defined() || cos_.size(0) < limit) {
    grow(std::max<int64_t>(limit, cos_.defined() ? 2 * cos_.size(0) : 256));
  }
  return {cos_.index_select(0, positions_T), sin_.index_select(0, positions_T)};
}

}  // namespace lathe
