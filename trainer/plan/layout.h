#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/freeze.h"
#include "trainer/lora_config.h"
#include "trainer/model.h"
#include "trainer/optimizer.h"

// What is to be trained, and the ways of cutting it over ranks that a plan compares.
namespace lathe {

// The same whatever the layout.
struct PlannedRun {
  ModelConfig model;
  at::ScalarType dtype = at::kFloat;
  bool on_cpu = false;  // where attention of 16-bit types is computed, and kept, in float32
  OptimizerConfig optimizer = {};
  std::vector<LoraConfig> lora = {};  // one: adapters are trained; none: the weights themselves
  FreezeConfig freeze = {};
  int64_t row_tokens = 0;    // of a packed row
  int64_t rows = 0;          // of a step, over all ranks
  double trained_share = 1;  // of the tokens, those that are targets
  bool overlap = false;      // with zero 2 and 3, a unit's sums and values travel beside another's pass
};

struct Layout {
  int64_t dp = 1, tp = 1;
  int zero = 1;
  bool sequence_parallel = true;
  Checkpointing checkpointing = Checkpointing::kOff;
  int64_t micro_rows = 1, accumulation = 1;

  int64_t ranks() const { return dp * tp; }
};

// What one rank of a model that is cut over tp holds, in numbers (not bytes) unless it says so.
struct ModelShapes {
  int64_t weights = 0, trained = 0;
  int64_t widest_matrix = 0;
  // Of the units that come and go with ZeRO 2 and 3: embedding, the largest block, norm and head.
  struct Unit {
    int64_t weights = 0, trained = 0;
  } first, block, last;
  bool tied = false;
  // Of a token in one layer: what its parts hand on. hidden is not cut over tp.
  int64_t hidden = 0, queries = 0, keys = 0, heads = 0, inner = 0, vocabulary = 0;
  int64_t layers = 0;
  bool fused_qkv = false, gated = true, qk_norm = false, norms_after = false;
  int64_t experts_per_token = 0;  // 0: none; then inner is one expert's
  double flops_per_token = 0;     // products of the whole model, forward and backward
  int64_t parameters = 0;         // of the whole model
};

// Makes the model without values. std::invalid_argument for a model that tp ranks can not share.
ModelShapes measure_shapes(const PlannedRun& run, int64_t tp);

}  // namespace lathe
