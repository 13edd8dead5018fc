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

// The base grows with the length, so that the slowest frequency stays within what was learned
// (NTK-aware scaling).
double dynamic_theta(const ModelConfig& config, int64_t length) {
  const auto most = static_cast<double>(config.max_position_embeddings);
  const double stretch = config.rope_scaling.factor * static_cast<double>(length) / most -
                         (config.rope_scaling.factor - 1);
  const auto turned = static_cast<double>(turned_elements(config));
  return config.rope_theta * std::pow(stretch, turned / (turned - 2));
}

void scale_longrope(RotaryFrequencies& frequencies, const RopeScaling& s, bool beyond) {
  const std::vector<double>& divisors = beyond ? s.long_factor : s.short_factor;
  for (size_t i = 0; i < frequencies.inverse.size(); ++i) {
    frequencies.inverse[i] = static_cast<float>(frequencies.inverse[i] / divisors.at(i));
  }
  const auto original = static_cast<double>(s.original_max_position_embeddings);
  frequencies.factor = s.attention_factor > 0 ? s.attention_factor
                       : s.factor > 1 ? std::sqrt(1 + std::log(s.factor) / std::log(original))
                                      : 1;
}

}  // namespace

int64_t rotary_regime(const ModelConfig& config, int64_t length) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.type == "longrope") return length > scaling.original_max_position_embeddings ? 1 : 0;
  if (scaling.type == "dynamic") return length > config.max_position_embeddings ? length : 0;
  return 0;
}

RotaryFrequencies rotary_frequencies(const ModelConfig& config, int64_t length) {
  static constexpr std::string_view kKnown[] = {"default", "linear", "dynamic",
                                                "llama3",  "yarn",   "longrope"};
  const RopeScaling& scaling = config.rope_scaling;
  if (std::find(std::begin(kKnown), std::end(kKnown), scaling.type) == std::end(kKnown)) {
    throw std::invalid_argument("config.json: rope_scaling type \"" + scaling.type +
                                "\" is not supported");
  }
  const int64_t turned = turned_elements(config), regime = rotary_regime(config, length);
  const bool dynamic = scaling.type == "dynamic" && regime > 0;
  const double theta = dynamic ? dynamic_theta(config, length) : config.rope_theta;
  RotaryFrequencies out;
  for (int64_t i = 0; i < turned / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(turned);
    double inverse = 1 / std::pow(theta, exponent);
    if (scaling.type == "linear") inverse /= scaling.factor;
    if (scaling.type == "llama3") inverse = llama3_frequency(inverse, scaling);
    out.inverse.push_back(static_cast<float>(inverse));
  }
  if (scaling.type == "yarn") scale_yarn(out, config);
  if (scaling.type == "longrope") scale_longrope(out, scaling, regime > 0);
  return out;
}

ModelConfig local_rotary_config(const ModelConfig& config) {
  ModelConfig local = config;
  local.rope_theta = config.rope_local_theta;
  local.rope_scaling = {};
  return local;
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

DocumentAngles::DocumentAngles(const ModelConfig& config, at::Device device)
    : config_(config), device_(device) {
  table(0);  // a scaling that is not supported is named before there is work
}

RotaryTable& DocumentAngles::table(int64_t length) {
  const int64_t regime = rotary_regime(config_, length);
  const auto found = tables_.find(regime);
  if (found != tables_.end()) return found->second;
  // dynamic has one for every length beyond: they are not worth keeping.
  if (tables_.size() > 8) tables_.clear();
  return tables_.emplace(regime, RotaryTable(rotary_frequencies(config_, length), device_))
      .first->second;
}

RotaryAngles DocumentAngles::at(const at::Tensor& positions_T,
                                const std::vector<int64_t>& cu_seqlens,
                                const std::vector<int64_t>& lengths) {
  int64_t longest = 0;
  bool same = true;
  for (const int64_t length : lengths) {
    longest = std::max(longest, length);
    same = same && rotary_regime(config_, length) == rotary_regime(config_, lengths[0]);
  }
  if (same) return table(longest).at(positions_T, longest);
  std::vector<at::Tensor> cos, sin;
  for (size_t d = 0; d < lengths.size(); ++d) {
    const RotaryAngles angles =
        table(lengths[d]).at(positions_T.slice(0, cu_seqlens[d], cu_seqlens[d + 1]), lengths[d]);
    cos.push_back(angles.cos);
    sin.push_back(angles.sin);
  }
  return {at::cat(cos), at::cat(sin)};
}

}  // namespace lathe
