#pragma once

#include <string_view>

#include "trainer/json_fields.h"
#include "trainer/model_config.h"

// What config.json says of single layers: which have a sliding window, which turn no positions.
namespace lathe {

// How a family says which layers have a window.
enum class Windows {
  kNone,
  kAll,         // sliding_window, unless null: every layer (Mistral, Phi-3)
  kFlagged,     // only with use_sliding_window, then layers from max_window_layers on (Qwen)
  kFlaggedAll,  // only with use_sliding_window, then every layer (Qwen 3 with experts)
  kPattern,     // all but every sliding_window_pattern-th (Gemma)
};

struct LayerKeys {
  Windows windows = Windows::kNone;
  int64_t default_window = 0;   // of an absent key
  int64_t default_pattern = 0;  // kPattern
  bool rope_layers = false;     // no_rope_layers (SmolLM3)
};

// layer_types wins where it is there, as in transformers.
void parse_layers(const Fields& fields, ModelConfig& config, const LayerKeys& keys);
void dump_layers(const ModelConfig& config, Json& json, const LayerKeys& keys);

}  // namespace lathe
