#include "trainer/model_config_layers.h"

#include <algorithm>

namespace lathe {
namespace {

constexpr int64_t kMaxWindow = int64_t{1} << 40;

bool is_flagged(Windows windows) {
  return windows == Windows::kFlagged || windows == Windows::kFlaggedAll;
}

// The list under `key`, one entry a layer, each as `read` takes it.
template <typename Read>
std::vector<bool> layer_list(const Fields& fields, const char* key, int64_t layers,
                             const Read& read) {
  const Json& list = fields.at(key);
  if (!list.is_array() || static_cast<int64_t>(list.size()) != layers) {
    fields.fail(key, "is " + shown(list) + "; a list of " + std::to_string(layers) +
                         " entries is expected, one a layer");
  }
  std::vector<bool> out;
  for (const Json& entry : list) out.push_back(read(entry));
  return out;
}

std::vector<bool> sliding_layers(const Fields& fields, const ModelConfig& config,
                                 const LayerKeys& keys) {
  const int64_t layers = config.num_hidden_layers;
  if (fields.has("layer_types")) {
    return layer_list(fields, "layer_types", layers, [&](const Json& entry) {
      const bool slides = entry == "sliding_attention";
      if (slides ? keys.windows == Windows::kNone : entry != "full_attention") {
        fields.fail("layer_types", "has " + shown(entry) + ", which is not supported");
      }
      return slides;
    });
  }
  const int64_t first_sliding = fields.integer("max_window_layers", 28);
  const int64_t pattern = fields.size(
      "sliding_window_pattern", 4096,
      fields.size("_sliding_window_pattern", 4096, std::max<int64_t>(1, keys.default_pattern)));
  std::vector<bool> slides(layers,
                           keys.windows == Windows::kAll || keys.windows == Windows::kFlaggedAll);
  for (int64_t i = 0; i < layers; ++i) {
    if (keys.windows == Windows::kFlagged) slides[i] = i >= first_sliding;
    if (keys.windows == Windows::kPattern) slides[i] = (i + 1) % pattern != 0;
  }
  return slides;
}

void parse_windows(const Fields& fields, ModelConfig& config, const LayerKeys& keys) {
  std::vector<bool> slides = sliding_layers(fields, config, keys);
  if (std::find(slides.begin(), slides.end(), true) == slides.end()) return;
  if (is_flagged(keys.windows) && !fields.boolean("use_sliding_window", false)) {
    if (fields.has("layer_types")) {
      fields.fail("layer_types", "has sliding_attention, but use_sliding_window is false");
    }
    return;
  }
  // null, unlike an absent key, means no window.
  if (!fields.mentions("sliding_window")) {
    config.sliding_window = keys.default_window;
  } else if (fields.has("sliding_window")) {
    config.sliding_window = fields.size("sliding_window", kMaxWindow);
  }
  if (config.sliding_window > 0) config.sliding_layers = std::move(slides);
}

}  // namespace

void parse_layers(const Fields& fields, ModelConfig& config, const LayerKeys& keys) {
  parse_windows(fields, config, keys);
  if (!keys.rope_layers) return;
  const int64_t interval = fields.size("no_rope_layer_interval", 4096, 4);
  if (fields.has("no_rope_layers")) {
    // In spite of its name: 1 where positions are turned.
    config.rope_layers =
        layer_list(fields, "no_rope_layers", config.num_hidden_layers, [&](const Json& entry) {
          if (entry != 0 && entry != 1) fields.fail("no_rope_layers", "holds " + shown(entry));
          return entry == 1;
        });
    return;
  }
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    config.rope_layers.push_back((i + 1) % interval != 0);
  }
}

void dump_layers(const ModelConfig& config, Json& json, const LayerKeys& keys) {
  const bool any = config.sliding_window > 0;
  if (is_flagged(keys.windows)) json["use_sliding_window"] = any;
  if (keys.windows == Windows::kAll || any) {
    json["sliding_window"] = any ? Json(config.sliding_window) : Json();
  }
  if (keys.windows == Windows::kFlagged || keys.windows == Windows::kPattern) {
    json["layer_types"] = Json::array();
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
      json["layer_types"].push_back(config.slides(i) ? "sliding_attention" : "full_attention");
    }
  }
  if (!keys.rope_layers) return;
  json["no_rope_layers"] = Json::array();
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    json["no_rope_layers"].push_back(config.rotates(i) ? 1 : 0);
  }
}

}  // namespace lathe
