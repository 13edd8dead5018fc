#pragma once

#include <vector>

#include "data/loader/loader.h"
#include "data/shards/teacher_set.h"
#include "parallel/mesh.h"
#include "recipes/answers.h"
#include "recipes/parts.h"
#include "trainer/batch_source.h"
#include "trainer/objective/distill.h"

// A loader's batches, with what distillation wants of them: the rows that lathe capture kept, or
// the student's own answers in the place of the data's.
namespace lathe {

struct DistillSource {
  Mesh& mesh;
  Loader& loader;
  const DistillConfig& config;
  Model& student;          // or whoever answers in its place
  Datasets datasets = {};  // of the loader, with a set of rows for each; or none
  std::vector<TeacherSet> sets = {};
  uint64_t seed = 0;
  AnswerOptions answers = {};            // their seed is made of this one's and the epoch
  int64_t steps = 0, student_steps = 0;  // since take_share

  std::vector<Batch> next();  // every rank calls it
  double take_share();        // of steps on the student's answers, since it was last asked

 private:
  void add_rows(Batch& batch) const;
  int64_t trained_before(size_t dataset, int64_t document, int64_t begin) const;
};

// source must outlive what is returned.
BatchSource batches_of(DistillSource& source);

// Whether the step that begins at this place of the data is the student's: the same on all ranks,
// whatever their number.
bool is_student_step(uint64_t seed, LoaderState place, double lmbda);

}  // namespace lathe
