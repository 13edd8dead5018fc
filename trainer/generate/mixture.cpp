#include "trainer/generate/mixture.h"

#include <ATen/ATen.h>

#include <cmath>
#include <stdexcept>

namespace lathe {
namespace {

at::ScalarType type_of(Model& model) { return model.parameters().front()->value.scalar_type(); }

}  // namespace

void MixtureModel::refuse() {
  throw std::logic_error("a student and a teacher together only generate");
}

KvCache MixtureModel::make_cache(int64_t capacity) {
  KvCache cache = student_.make_cache(capacity);
  cache.companions.push_back(teacher_.model->make_cache(capacity));
  return cache;
}

at::Tensor MixtureModel::hidden(const Batch& batch, std::span<KvCache* const> caches) {
  std::vector<KvCache*> of_teacher;
  for (KvCache* cache : caches) of_teacher.push_back(&cache->companions.at(0));
  const at::Tensor student_TH = student_.hidden(batch, caches);
  at::Tensor teacher_TH;
  teacher_.run([&](Model& model) { teacher_TH = model.hidden(batch, of_teacher); });
  // Wide enough for both, exactly.
  return at::cat({student_TH.to(at::kFloat), teacher_TH.to(at::kFloat)}, 1);
}

at::Tensor MixtureModel::logits(const at::Tensor& hidden_NH) {
  const int64_t width = student_.config().hidden_size;
  const auto log_probs = [&](const at::Tensor& logits_NV) {
    return logits_NV.slice(1, 0, vocabulary_).log_softmax(1);
  };
  const at::Tensor log_q =
      log_probs(student_.logits(hidden_NH.slice(1, 0, width).to(type_of(student_))));
  const at::Tensor log_p =
      log_probs(teacher_.logits(hidden_NH.slice(1, width).to(type_of(*teacher_.model))));
  return at::logaddexp(log_p + std::log(alpha_), log_q + std::log1p(-alpha_));
}

}  // namespace lathe
