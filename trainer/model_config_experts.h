#pragma once

#include "trainer/json_fields.h"
#include "trainer/model_config.h"

// What config.json says of mixtures of experts: how many there are, how many serve a token, which
// layers have them.
namespace lathe {

// How a family spells it.
enum class ExpertKeys { kNone, kMixtral, kQwen };

// The config holds the sizes of the decoder.
void parse_experts(const Fields& fields, ModelConfig& config, ExpertKeys keys);
void dump_experts(const ModelConfig& config, Json& json, ExpertKeys keys);

}  // namespace lathe
