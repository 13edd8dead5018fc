#include "trainer/objective/divergences.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace lathe {
namespace {

using C = DistillConfig;
using T = at::Tensor;

// log((1-w) e^a + w e^b): where both vanish in float32, their sum's logarithm must not.
T log_mix(const T& a, const T& b, double w) {
  return at::logaddexp(a + std::log1p(-w), b + std::log(w));
}

Divergence forward_kl(const T& lp, const T& lq, const C&) {
  const T p = lp.exp();
  return {(p * (lp - lq)).sum(1), -p};
}

Divergence reverse_kl(const T& lp, const T& lq, const C&) {
  const T q = lq.exp(), gap = lq - lp;
  return {(q * gap).sum(1), q * (gap + 1)};
}

// The derivative by q is (1-b) log(q/m): the rest cancels.
Divergence jsd(const T& lp, const T& lq, const C& c) {
  const double b = c.beta;
  if (b == 0) return forward_kl(lp, lq, c);
  if (b == 1) return reverse_kl(lp, lq, c);
  const double scale = c.scale == "normalised" ? 1 / (b * (1 - b)) : 1;
  const T p = lp.exp(), q = lq.exp(), lm = log_mix(lq, lp, b), slope = q * (lq - lm);
  const T value = b * (p * (lp - lm)).sum(1) + (1 - b) * slope.sum(1);
  return {scale * value, scale * (1 - b) * slope};
}

Divergence skew_kl(const T& lp, const T& lq, const C& c) {
  if (c.alpha == 0) return forward_kl(lp, lq, c);
  if (c.alpha == 1) return {at::zeros_like(lp.select(1, 0)), at::zeros_like(lq)};
  const T lm = log_mix(lq, lp, c.alpha);
  return {(lp.exp() * (lp - lm)).sum(1), (c.alpha - 1) * (lp + lq - lm).exp()};
}

Divergence skew_reverse_kl(const T& lp, const T& lq, const C& c) {
  if (c.alpha == 0) return reverse_kl(lp, lq, c);
  if (c.alpha == 1) return {at::zeros_like(lp.select(1, 0)), at::zeros_like(lq)};
  const T q = lq.exp(), lm = log_mix(lp, lq, c.alpha), gap = lq - lm;
  return {(q * gap).sum(1), q * (gap + 1 - c.alpha * gap.exp())};
}

Divergence total_variation(const T& lp, const T& lq, const C&) {
  const T q = lq.exp(), gap = q - lp.exp();
  return {0.5 * gap.abs().sum(1), 0.5 * q * gap.sign()};
}

// D = -1/(ab) sum(p^a q^b - a/(a+b) p^(a+b) - b/(a+b) q^(a+b)), at a = 0 or b = 0 its limit.
Divergence alpha_beta(const T& lp, const T& lq, const C& c) {
  const double a = c.alpha, b = c.beta, s = a + b;
  const T ps = (s * lp).exp(), qs = (s * lq).exp();
  if (b == 0) return {((a * (lp - lq) - 1) * ps + qs).sum(1) / (a * a), (qs - ps) / a};
  if (a == 0) {
    const T gap = b * (lq - lp);
    return {((gap - 1) * qs + ps).sum(1) / (b * b), qs * gap / b};
  }
  const T cross = (a * lp + b * lq).exp();
  return {-(cross - a / s * ps - b / s * qs).sum(1) / (a * b), (qs - cross) / a};
}

}  // namespace

const std::vector<DivergenceEntry>& divergences() {
  static const std::vector<DivergenceEntry> table{
      {"forward_kl", forward_kl}, {"reverse_kl", reverse_kl}, {"jsd", jsd},
      {"skew_kl", skew_kl},       {"tvd", total_variation},   {"skew_reverse_kl", skew_reverse_kl},
      {"alpha_beta", alpha_beta}, {"minillm", reverse_kl},  // its single-step part
  };
  return table;
}

const DivergenceEntry& divergence(std::string_view name) {
  for (const DivergenceEntry& entry : divergences()) {
    if (entry.name == name) return entry;
  }
  throw std::invalid_argument(fmt::format("distill.divergence: there is no {}", name));
}

std::vector<Conflict> conflicts(const DistillConfig& c) {
  std::vector<Conflict> found;
  const bool online = !c.teacher_model_name_or_path.empty(), offline = !c.teacher_shards.empty();
  const auto refuse = [&](bool wrong, std::vector<std::string> keys, const std::string& reason) {
    if (wrong) found.push_back({std::move(keys), reason});
  };
  refuse(online == offline, {"teacher_model_name_or_path", "teacher_shards"},
         "give one of them: a model that is asked at every step, or what lathe capture kept");
  refuse(c.divergence == "alpha_beta" && c.alpha + c.beta == 0, {"alpha", "beta"},
         "alpha_beta needs one of them above 0");
  refuse(c.scale == "normalised" && c.divergence != "jsd", {"scale"},
         "normalised is read by divergence: jsd only");
  refuse(c.top_k_rest == "renormalise_teacher" && c.divergence != "forward_kl",
         {"top_k_rest", "divergence"},
         "renormalise_teacher leaves the student's other tokens without a teacher; only "
         "forward_kl does not ask for one");
  refuse(offline && c.temperature != 1 && c.top_k_rest == "tail", {"temperature", "top_k_rest"},
         "teacher shards know the tail at temperature 1 only; use top_k_rest: renormalise, or an "
         "online teacher");
  refuse(offline && (c.lmbda > 0 || c.seq_kd), {"teacher_shards"},
         "lmbda and seq_kd need a teacher that answers: teacher_model_name_or_path");
  if (c.divergence == "minillm") {
    refuse(offline || c.lmbda == 0, {"divergence", "lmbda"},
           "minillm learns from the student's own answers, which a teacher reads: give "
           "teacher_model_name_or_path and an lmbda above 0");
    refuse(c.top_k > 0 || c.temperature != 1, {"divergence", "top_k", "temperature"},
           "minillm is the KL of the whole distributions at temperature 1");
    refuse(c.sampling_temperature != 1 || c.sampling_top_p != 1 || c.sampling_top_k != 0,
           {"divergence", "sampling_temperature", "sampling_top_p", "sampling_top_k"},
           "minillm's weights are those of plain samples: set sampling_temperature: 1, "
           "sampling_top_p: 1 and sampling_top_k: 0");
    refuse(c.teacher_mixed_alpha == 1, {"teacher_mixed_alpha"},
           "at 1 the student never answers itself; give less");
  }
  const bool across = c.cross_vocabulary != "false";
  refuse(across && (offline || c.teacher_model_name_or_path == "self"), {"cross_vocabulary"},
         "is for a teacher_model_name_or_path with a tokenizer of its own");
  refuse(across && (c.seq_kd || c.divergence == "minillm"),
         {"cross_vocabulary", "seq_kd", "divergence"},
         "the teacher would have to go on with the student's tokens, which it does not know");
  refuse(c.cross_vocabulary == "uld" && c.top_k > 0, {"cross_vocabulary", "top_k"},
         "uld is over the whole distributions; leave top_k out, or use aligned");
  const bool layers = c.hidden_weight > 0 || c.attention_weight > 0;
  refuse(layers && offline, {"hidden_weight", "attention_weight", "teacher_shards"},
         "teacher shards hold no hidden states and no attention; give teacher_model_name_or_path");
  refuse(layers && across, {"hidden_weight", "attention_weight", "cross_vocabulary"},
         "the two models read different tokens, so that no state of one stands beside one of the "
         "other");
  refuse(!layers && !c.layer_map.empty(), {"layer_map"},
         "is read where hidden_weight or attention_weight is above 0");
  refuse(c.temperature_squared && c.temperature == 1, {"temperature_squared", "temperature"},
         "does nothing at temperature 1");
  return found;
}

}  // namespace lathe
