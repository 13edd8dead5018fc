#pragma once

#include "data/shards/teacher_set.h"
#include "recipes/recipe.h"

// What a model thinks of a data set's trained tokens, kept for distillation. The work is cut into
// shards that do not depend on the number of ranks; finished ones are not made again.
namespace lathe {

// Documents [first, first + count) make a shard.
struct CaptureUnit {
  int64_t first = 0, count = 0;
};

// Shards of at most `rows` trained tokens each (or one document).
std::vector<CaptureUnit> plan_capture(const Dataset& dataset, int64_t rows);

// model: the teacher; data.train: what it reads; output_dir: where the shards go, one folder for
// each source.
int capture_teacher(RunContext run);

// output_dir itself, or with several sources its folders 0, 1, ...
std::string capture_folder(const RunConfig& config, size_t source);

}  // namespace lathe
