#pragma once

#include <string>

#include "parallel/mesh.h"
#include "recipes/answers.h"
#include "recipes/run_frame.h"
#include "trainer/objective/distill.h"

// Sequence-level distillation (Kim and Rush 2016, arXiv:1606.07947): what a teacher says to the
// prompts of the data, decoded once and kept. Texts depend on the seed and the place of a document
// in the data alone, not on the ranks.
namespace lathe {

struct TeacherAnswers {
  TeacherModel teacher;
  std::string teacher_hash;  // of its weights
  AnswerOptions options;
};

// For each data set of data.train, one of its prompts with the teacher's answers. They lie as
// records in output_dir/seq_kd, in files that are finished one by one and never changed; a run that
// is started again takes them up. Collective. Throws Stopped between two files, and what
// StageFolder throws where a file is not what was written or was made otherwise.
Datasets answered_datasets(const RunContext& run, const RunData& data, const TeacherAnswers& by,
                           Mesh& mesh, Metrics& metrics);

}  // namespace lathe
