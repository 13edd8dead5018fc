#include "trainer/generate/mixture.h"

#include <ATen/ATen.h>

#include <cmath>
#include <iterator>
#include <stdexcept>

namespace lathe {
namespace {

// Layers [begin, end) of each cache; the memory is the same.
std::vector<KvCache> layers_of(std::span<KvCache* const> caches, int64_t begin, int64_t end) {
  std::vector<KvCache> parts;
  for (const KvCache* cache : caches) {
    const auto part = [&](const std::vector<at::Tensor>& layers) {
      return std::vector<at::Tensor>(layers.begin() + begin, layers.begin() + end);
    };
    parts.push_back({part(cache->keys), part(cache->values), cache->length, cache->capacity});
  }
  return parts;
}

std::vector<KvCache*> addresses(std::vector<KvCache>& caches) {
  std::vector<KvCache*> result;
  for (KvCache& cache : caches) result.push_back(&cache);
  return result;
}

at::ScalarType type_of(Model& model) { return model.parameters().front()->value.scalar_type(); }

}  // namespace

void MixtureModel::refuse() {
  throw std::logic_error("a student and a teacher together only generate");
}

KvCache MixtureModel::make_cache(int64_t capacity) {
  KvCache cache = student_.make_cache(capacity);
  KvCache more = teacher_.model->make_cache(capacity);
  std::move(more.keys.begin(), more.keys.end(), std::back_inserter(cache.keys));
  std::move(more.values.begin(), more.values.end(), std::back_inserter(cache.values));
  return cache;
}

at::Tensor MixtureModel::hidden(const Batch& batch, std::span<KvCache* const> caches) {
  const int64_t own = student_.config().num_hidden_layers,
                all = own + teacher_.model->config().num_hidden_layers;
  std::vector<KvCache> of_student = layers_of(caches, 0, own),
                       of_teacher = layers_of(caches, own, all);
  const at::Tensor student_TH = student_.hidden(batch, addresses(of_student));
  at::Tensor teacher_TH;
  teacher_.run([&](Model& model) { teacher_TH = model.hidden(batch, addresses(of_teacher)); });
  for (size_t d = 0; d < caches.size(); ++d) caches[d]->length = of_student[d].length;
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
