#include "trainer/objective/distill.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "trainer/objective/cross_vocabulary.h"
#include "trainer/objective/layer_terms.h"
#include "trainer/objective/soft_targets.h"

namespace lathe {
namespace {

// The teacher's view of the student's model, whatever happens.
class AdaptersOff {
 public:
  explicit AdaptersOff(Lora* adapters) : adapters_(adapters) {
    if (adapters_) adapters_->set_enabled(false);
  }
  ~AdaptersOff() {
    if (adapters_) adapters_->set_enabled(true);
  }
  AdaptersOff(const AdaptersOff&) = delete;

 private:
  Lora* adapters_;
};

TeacherRows slice(const TeacherRows& rows, int64_t begin, int64_t end, int64_t k) {
  const auto width = [&](const at::Tensor& x) { return k > 0 ? x.slice(1, 0, k) : x; };
  if (k == 0 || k >= rows.ids_NK.size(1)) {
    return {rows.ids_NK.slice(0, begin, end), rows.logp_NK.slice(0, begin, end),
            rows.tail_N.slice(0, begin, end)};
  }
  // What is beyond the k joins the tail.
  const at::Tensor dropped =
      rows.logp_NK.slice(0, begin, end).slice(1, k).to(at::kFloat).logsumexp(1);
  return {width(rows.ids_NK.slice(0, begin, end)), width(rows.logp_NK.slice(0, begin, end)),
          at::logaddexp(rows.tail_N.slice(0, begin, end), dropped)};
}

// The teacher's hidden states in front of each target, in its own tokens; any state where
// compared_N is false.
at::Tensor read_across(const CrossVocabulary& cross, const TeacherModel& teacher,
                       const Batch& batch, at::Tensor& compared_N) {
  const CrossVocabulary::Reading reading = cross.read(batch);
  compared_N = reading.positions_N >= 0;
  const at::Tensor hidden_TH = teacher.hidden(reading.batch);
  if (hidden_TH.size(0) == 0) return hidden_TH.new_zeros({compared_N.size(0), hidden_TH.size(1)});
  return hidden_TH.index_select(0, reading.positions_N.clamp_min(0));
}

}  // namespace

at::Tensor TeacherModel::hidden(const Batch& batch, LayerStates* states) const {
  const at::NoGradGuard no_grad;
  const AdaptersOff off(adapters);
  const at::Tensor hidden_TH = states ? model->hidden(batch, *states) : model->hidden(batch);
  model->take_auxiliary_loss();
  return hidden_TH;
}

at::Tensor TeacherModel::logits(const at::Tensor& hidden_NH) const {
  const AdaptersOff off(adapters);
  return model->logits(hidden_NH);
}

void TeacherModel::run(const std::function<void(Model&)>& work) const {
  const AdaptersOff off(adapters);
  work(*model);
}

DistillLoss::DistillLoss(DistillConfig config, int64_t vocabulary, TeacherModel teacher,
                         const CrossVocabulary* cross, LayerTerms* layers)
    : config_(std::move(config)),
      vocabulary_(vocabulary),
      teacher_(teacher),
      cross_(cross),
      layers_(layers) {}

LossSum DistillLoss::operator()(Model& student, const Batch& batch) {
  return run(student, batch, config_.ce_weight);
}

LossSum DistillLoss::cross_entropy_of(Model& student, const Batch& batch) {
  if (teacher_.model == nullptr && !batch.teacher.defined()) return cross_entropy(student, batch);
  evaluation_ = true;
  const LossSum sum = run(student, batch, 1);
  evaluation_ = false;
  return sum;
}

LossSum DistillLoss::run(Model& student, const Batch& batch, double ce_weight) {
  const bool asks = !batch.teacher.defined();
  const bool policy = asks && batch.sampled && config_.divergence == "minillm" && !evaluation_;
  const at::Tensor chosen_N = (batch.targets != kIgnore).nonzero().squeeze(1);
  Targets targets{.ids_N = batch.targets.index_select(0, chosen_N),
                  .teacher_NH = {},
                  .rows = batch.teacher,
                  .compared_N = {},
                  .policy = {},
                  .ce_weight = policy ? 0 : ce_weight};
  LayerStates teachers, students;
  if (layers_) {
    teachers = layers_->teacher_states();
    students = layers_->student_states();
  }
  if (asks) {
    teacher_.model->keep_head(false);  // of the batch before
    targets.teacher_NH = cross_ ? read_across(*cross_, teacher_, batch, targets.compared_N)
                                : teacher_.hidden(batch, &teachers).index_select(0, chosen_N);
  }
  // After the teacher, which may be the same model: what the student's forward leaves behind stays.
  const at::Tensor hidden_NH = student.hidden(batch, students).index_select(0, chosen_N);
  at::Tensor of_layers;
  if (layers_) of_layers = (*layers_)(students, teachers, batch, evaluation_);
  // Ranks have different numbers of chunks to ask for.
  if (asks) teacher_.model->keep_head(true);
  if (policy) targets.policy = policy_of(student, batch, hidden_NH, targets);
  const at::Tensor losses_N = student.logit_losses(
      hidden_NH, [this, targets](const at::Tensor& logits_CV, const ChunkRequest& request) {
        return chunk(logits_CV, request, targets);
      });
  const at::Tensor weights_N = batch.weights.index_select(0, chosen_N);
  // In float64, as cross_entropy does: the order of additions does not depend on threads.
  at::Tensor sum = at::dot(losses_N.to(at::kDouble), weights_N.to(at::kDouble));
  if (of_layers.defined() && !evaluation_) sum = sum + of_layers;
  return with_auxiliary_loss(sum, student, batch);
}

// Both models' log-probabilities of the answers come first: a return needs what follows.
PolicyTerms DistillLoss::policy_of(Model& student, const Batch& batch, const at::Tensor& hidden_NH,
                                   const Targets& targets) const {
  const at::NoGradGuard no_grad;
  const auto picked = [&](const at::Tensor& logits_CV, int64_t begin) {
    const at::Tensor ids = targets.ids_N.slice(0, begin, begin + logits_CV.size(0)).unsqueeze(1);
    return logits_CV.slice(1, 0, vocabulary_).log_softmax(1).gather(1, ids).squeeze(1);
  };
  at::Tensor log_p_N = at::empty(targets.ids_N.sizes(), hidden_NH.options().dtype(at::kFloat));
  const at::Tensor log_q_N = student.logit_losses(
      hidden_NH, [&](const at::Tensor& logits_CV, const ChunkRequest& request) -> ChunkLoss {
        const int64_t begin = request.begin, end = begin + logits_CV.size(0);
        const at::Tensor teacher_CV = teacher_.logits(targets.teacher_NH.slice(0, begin, end));
        log_p_N.slice(0, begin, end).copy_(picked(teacher_CV, begin));
        return {picked(logits_CV, begin), {}};
      });
  std::vector<int64_t> ends;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const at::Tensor before = batch.targets.slice(0, 0, batch.cu_seqlens[d + 1]);
    ends.push_back((before != kIgnore).sum().item<int64_t>());
  }
  return policy_terms(log_p_N, log_q_N, ends, config_);
}

ChunkLoss DistillLoss::chunk(const at::Tensor& logits_CV, const ChunkRequest& request,
                             const Targets& targets) {
  const double ce_weight = targets.ce_weight;
  const at::Tensor student_CV = logits_CV.slice(1, 0, vocabulary_);
  at::Tensor best_C;
  ChunkLoss loss = divergence_of_chunk(student_CV, request, targets, best_C);
  // Over the whole head, padding and all: the loss that fine-tuning has.
  const at::Tensor target_C1 =
      targets.ids_N.slice(0, request.begin, request.begin + logits_CV.size(0)).unsqueeze(1);
  const at::Tensor log_z_C1 = logits_CV.logsumexp(1, true);
  const at::Tensor ce_C = (log_z_C1 - logits_CV.gather(1, target_C1)).squeeze(1);
  if (!request.is_again) {
    measure(loss.losses_C, ce_C, student_CV.argmax(1) == best_C,
            targets.compared_N.defined()
                ? targets.compared_N.slice(0, request.begin, request.begin + ce_C.size(0))
                : at::ones_like(ce_C));
  }
  loss = with_policy(loss, student_CV, request, targets);
  loss.losses_C = ((1 - ce_weight) * loss.losses_C + ce_weight * ce_C).to(logits_CV.scalar_type());
  if (!request.with_gradient) return loss;
  at::Tensor dlogits =
      ce_weight > 0 ? ce_weight * (logits_CV - log_z_C1).exp() : at::zeros_like(logits_CV);
  if (ce_weight > 0) {
    dlogits.scatter_add_(1, target_C1, at::full_like(ce_C, -ce_weight).unsqueeze(1));
  }
  dlogits.slice(1, 0, vocabulary_).add_(loss.dlogits_CV, 1 - ce_weight);
  loss.dlogits_CV = dlogits;
  return loss;
}

ChunkLoss DistillLoss::divergence_of_chunk(const at::Tensor& student_CV,
                                           const ChunkRequest& request, const Targets& targets,
                                           at::Tensor& teacher_best_C) const {
  const int64_t begin = request.begin, end = begin + student_CV.size(0);
  if (targets.rows.defined()) {
    const TeacherRows rows = slice(targets.rows, begin, end, config_.top_k);
    teacher_best_C = rows.ids_NK.select(1, 0);
    return divergence_of_top_k(student_CV, at_temperature(rows, config_.temperature), config_,
                               request.with_gradient);
  }
  const at::Tensor logits_CW = teacher_.logits(targets.teacher_NH.slice(0, begin, end));
  if (cross_) {
    return across(student_CV, logits_CW.slice(1, 0, cross_->teacher_vocabulary()),
                  targets.compared_N.slice(0, begin, end), request.with_gradient, teacher_best_C);
  }
  const at::Tensor teacher_CV = logits_CW.slice(1, 0, vocabulary_);
  if (config_.top_k > 0) {
    const TeacherRows best = top_k_of(teacher_CV, config_.top_k, config_.temperature);
    teacher_best_C = best.ids_NK.select(1, 0);
    return divergence_of_top_k(student_CV, best, config_, request.with_gradient);
  }
  teacher_best_C = teacher_CV.argmax(1);
  return divergence_of_rows(student_CV, teacher_CV, config_, request.with_gradient);
}

ChunkLoss DistillLoss::with_policy(const ChunkLoss& divergence, const at::Tensor& student_CV,
                                   const ChunkRequest& request, const Targets& targets) const {
  if (!targets.policy.weights_N.defined()) return divergence;
  const auto part = [&](const at::Tensor& x_N) {
    return x_N.slice(0, request.begin, request.begin + student_CV.size(0));
  };
  return policy_loss_of_rows(student_CV, divergence, part(targets.ids_N),
                             {part(targets.policy.weights_N), part(targets.policy.returns_N)},
                             config_, request.with_gradient);
}

// Rows that are not compared come to nothing.
ChunkLoss DistillLoss::across(const at::Tensor& student_CV, const at::Tensor& teacher_CW,
                              const at::Tensor& compared_C, bool with_gradient,
                              at::Tensor& teacher_best_C) const {
  const SharedTokens& shared = cross_->shared();
  const at::Device device = student_CV.device();
  const at::Tensor best_C = teacher_CW.index_select(1, shared.teacher_ids_M.to(device)).argmax(1);
  teacher_best_C = at::where(compared_C, shared.student_ids_M.to(device).index_select(0, best_C),
                             at::full_like(best_C, -1));
  ChunkLoss loss =
      config_.cross_vocabulary == "uld"
          ? uld_of_rows(student_CV, teacher_CW, config_, with_gradient)
          : divergence_of_shared(student_CV, teacher_CW, shared, config_, with_gradient);
  loss.losses_C = loss.losses_C * compared_C;
  if (with_gradient) loss.dlogits_CV = loss.dlogits_CV * compared_C.unsqueeze(1);
  return loss;
}

void DistillLoss::measure(const at::Tensor& divergence_C, const at::Tensor& ce_C,
                          const at::Tensor& agree_C, const at::Tensor& compared_C) {
  const auto sum = [](const at::Tensor& x) { return x.to(at::kDouble).sum(); };
  const at::Tensor sums = at::stack(
      {sum(at::ones_like(ce_C)), sum(divergence_C), sum(ce_C), sum(agree_C), sum(compared_C)});
  at::Tensor& all = sums_[evaluation_ ? 1 : 0];
  all = all.defined() ? all + sums : sums;
}

MetricRow DistillLoss::take_metrics(Group& group, bool evaluation) {
  at::Tensor& all = sums_[evaluation ? 1 : 0];
  at::Tensor sums = all.defined() ? all : at::zeros({5}, at::kDouble).to(group.device());
  group.all_reduce(sums, Reduce::kSum);
  all = at::Tensor();
  sums = sums.cpu();
  const auto mean = [&](int64_t i, int64_t over) {
    return sums[i].item<double>() / std::max(1.0, sums[over].item<double>());
  };
  if (evaluation && sums[0].item<double>() == 0) return {};
  const std::string prefix = evaluation ? "eval_" : "";
  MetricRow row{{prefix + "divergence", mean(1, 4)},
                {prefix + "cross_entropy", mean(2, 0)},
                {prefix + "teacher_agreement", mean(3, 4)}};
  if (cross_) row.emplace_back(prefix + "one_to_one", mean(4, 0));
  if (layers_) layers_->take_metrics(group, evaluation, row);
  return row;
}

}  // namespace lathe
