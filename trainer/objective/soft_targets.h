#pragma once

#include <ATen/core/Tensor.h>

#include "data/loader/batch.h"
#include "trainer/kernels/logit_loss.h"
#include "trainer/objective/distill_config.h"

// The divergence of rows of logits from a teacher's, in value and gradient. C rows, V outcomes that
// both models know, k of them that count.
namespace lathe {

// Both models' whole rows.
ChunkLoss divergence_of_rows(const at::Tensor& student_CV, const at::Tensor& teacher_CV,
                             const DistillConfig& config, bool with_gradient);

// The teacher's k likeliest at the config's temperature.
TeacherRows top_k_of(const at::Tensor& teacher_CV, int64_t k, double temperature);
// The same out of what is kept at temperature 1; the tail at another one is not known.
TeacherRows at_temperature(const TeacherRows& rows, double temperature);

// Rows of a teacher at the config's temperature; the rest is what config.top_k_rest says. The
// tail's probability is never taken below 1e-7.
ChunkLoss divergence_of_top_k(const at::Tensor& student_CV, const TeacherRows& teacher,
                              const DistillConfig& config, bool with_gradient);

}  // namespace lathe
