#pragma once

#include "trainer/json_fields.h"
#include "trainer/model_config.h"

// The rotary keys of config.json. v4: rope_theta, rope_scaling and Gemma 3's rope_local_base_freq;
// v5: rope_parameters, for Gemma 3 one block per layer type. A file with both must mean one thing.
namespace lathe {

// The config holds the sizes and the family's defaults (rope_local_theta 0: one base for all
// layers). `partial`: a part of each head may be turned.
void parse_rope(const Fields& fields, ModelConfig& config, bool partial);
// Both spellings.
void dump_rope(const ModelConfig& config, Json& json);

}  // namespace lathe
