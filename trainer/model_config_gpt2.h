#pragma once

#include "trainer/json_fields.h"
#include "trainer/model_config.h"

// GPT-2's config.json, which has names of its own: n_embd, n_layer, n_head, n_positions, n_inner,
// layer_norm_epsilon.
namespace lathe {

void parse_gpt2(const Fields& fields, ModelConfig& config);
void dump_gpt2(const ModelConfig& config, Json& json);

}  // namespace lathe
