#include "trainer/objective/soft_targets.h"

#include <ATen/ATen.h>

#include <cmath>

#include "trainer/objective/divergences.h"

namespace lathe {
namespace {

// Below it, 1 minus a sum of float32 probabilities is noise.
constexpr double kLeastTail = 1e-7;

at::Tensor log_probs_at(const at::Tensor& logits_CV, double temperature) {
  return (temperature == 1 ? logits_CV : logits_CV / temperature).log_softmax(1);
}

// From d / d log q to d / d logits: log q is normalised.
at::Tensor through_softmax(const at::Tensor& slope, const at::Tensor& log_q) {
  return slope - log_q.exp() * slope.sum(1, true);
}

double factor(const DistillConfig& c) {
  return c.temperature_squared ? c.temperature * c.temperature : 1;
}

ChunkLoss scaled(const at::Tensor& value_C, const at::Tensor& dlogits_CV, const DistillConfig& c) {
  return {factor(c) * value_C,
          dlogits_CV.defined() ? dlogits_CV * (factor(c) / c.temperature) : dlogits_CV};
}

// log(1 - sum of probabilities), and whether it was cut.
at::Tensor log_rest(const at::Tensor& log_probs_Ck) {
  return (1 - log_probs_Ck.exp().sum(1, true)).clamp_min(kLeastTail).log();
}

// Everything beyond the k together is outcome k + 1. A logit of the tail moves it by its share of
// the tail.
ChunkLoss with_tail(const at::Tensor& log_q_CV, const TeacherRows& teacher, const DistillConfig& c,
                    bool with_gradient) {
  const at::Tensor chosen_Ck = log_q_CV.gather(1, teacher.ids_NK).to(at::kDouble);
  const at::Tensor tail_C = log_rest(chosen_Ck);
  const at::Tensor log_q = at::cat({chosen_Ck, tail_C}, 1);
  const at::Tensor least = teacher.tail_N.to(at::kDouble).clamp_min(std::log(kLeastTail));
  const at::Tensor log_p = at::cat({teacher.logp_NK.to(at::kDouble), least.unsqueeze(1)}, 1);
  const Divergence d = divergence(c.divergence).of(log_p, log_q, c);
  if (!with_gradient) return scaled(d.value_C, {}, c);
  const int64_t k = teacher.ids_NK.size(1);
  // A tail that was cut does not move.
  const at::Tensor moves = tail_C > std::log(kLeastTail);
  const at::Tensor slope_Ck = d.slope_CV.slice(1, 0, k),
                   slope_tail = d.slope_CV.slice(1, k, k + 1) * moves;
  const at::Tensor sum = slope_Ck.sum(1, true) + slope_tail;
  const at::Tensor q_CV = log_q_CV.exp();
  at::Tensor dlogits = q_CV * (slope_tail * (-tail_C).exp() - sum).to(q_CV.scalar_type());
  const at::Tensor chosen = slope_Ck - chosen_Ck.exp() * sum;
  dlogits.scatter_(1, teacher.ids_NK, chosen.to(dlogits.scalar_type()));
  return scaled(d.value_C, dlogits, c);
}

// Both distributions are over the k alone.
ChunkLoss renormalised(const at::Tensor& log_q_CV, const TeacherRows& teacher,
                       const DistillConfig& c, bool with_gradient) {
  const at::Tensor log_q = log_q_CV.gather(1, teacher.ids_NK).to(at::kDouble).log_softmax(1);
  const at::Tensor log_p = teacher.logp_NK.to(at::kDouble).log_softmax(1);
  const Divergence d = divergence(c.divergence).of(log_p, log_q, c);
  if (!with_gradient) return scaled(d.value_C, {}, c);
  const at::Tensor chosen = through_softmax(d.slope_CV, log_q).to(log_q_CV.scalar_type());
  return scaled(d.value_C, at::zeros_like(log_q_CV).scatter_(1, teacher.ids_NK, chosen), c);
}

ChunkLoss teacher_renormalised(const at::Tensor& log_q_CV, const TeacherRows& teacher,
                               const DistillConfig& c, bool with_gradient) {
  const at::Tensor log_q = log_q_CV.gather(1, teacher.ids_NK).to(at::kDouble);
  const at::Tensor log_p = teacher.logp_NK.to(at::kDouble).log_softmax(1);
  const Divergence d = divergence(c.divergence).of(log_p, log_q, c);
  if (!with_gradient) return scaled(d.value_C, {}, c);
  at::Tensor dlogits = log_q_CV.exp() * -d.slope_CV.sum(1, true).to(log_q_CV.scalar_type());
  dlogits.scatter_add_(1, teacher.ids_NK, d.slope_CV.to(dlogits.scalar_type()));
  return scaled(d.value_C, dlogits, c);
}

}  // namespace

ChunkLoss divergence_of_rows(const at::Tensor& student_CV, const at::Tensor& teacher_CV,
                             const DistillConfig& config, bool with_gradient) {
  const at::Tensor log_q = log_probs_at(student_CV, config.temperature);
  const Divergence d =
      divergence(config.divergence).of(log_probs_at(teacher_CV, config.temperature), log_q, config);
  return scaled(d.value_C, with_gradient ? through_softmax(d.slope_CV, log_q) : at::Tensor(),
                config);
}

TeacherRows top_k_of(const at::Tensor& teacher_CV, int64_t k, double temperature) {
  const at::Tensor log_p = log_probs_at(teacher_CV, temperature);
  const auto [logp_Ck, ids_Ck] = log_p.topk(std::min(k, log_p.size(1)), 1);
  return {ids_Ck, logp_Ck, log_rest(logp_Ck.to(at::kDouble)).squeeze(1).to(at::kFloat)};
}

TeacherRows at_temperature(const TeacherRows& rows, double temperature) {
  return {rows.ids_NK, temperature == 1 ? rows.logp_NK : rows.logp_NK / temperature, rows.tail_N};
}

ChunkLoss divergence_of_top_k(const at::Tensor& student_CV, const TeacherRows& teacher,
                              const DistillConfig& config, bool with_gradient) {
  const at::Tensor log_q = log_probs_at(student_CV, config.temperature);
  if (config.top_k_rest == "tail") return with_tail(log_q, teacher, config, with_gradient);
  if (config.top_k_rest == "renormalise")
    return renormalised(log_q, teacher, config, with_gradient);
  return teacher_renormalised(log_q, teacher, config, with_gradient);
}

}  // namespace lathe
