#include "recipes/distill_batches.h"

#include <algorithm>

#include "trainer/philox.h"

namespace lathe {

bool is_student_step(uint64_t seed, LoaderState place, double lmbda) {
  const auto bits = philox(seed, static_cast<uint64_t>(place.row),
                           hash_name("lmbda") + static_cast<uint64_t>(place.epoch));
  return uniform_from(bits[0]) <= lmbda;  // above 0: never where lmbda is 0
}

std::vector<Batch> DistillSource::next() {
  const LoaderState place = loader.state();
  std::vector<Batch> batches = loader.next();
  if (!sets.empty()) {
    for (Batch& batch : batches) add_rows(batch);
    return batches;
  }
  const bool is_student = is_student_step(seed, place, config.lmbda);
  ++steps;
  student_steps += is_student;
  if (!is_student) return batches;
  AnswerOptions options = answers;
  options.seed = seed ^ hash_name("epoch") * static_cast<uint64_t>(place.epoch + 1);
  for (Batch& batch : batches) batch = with_answers_of(student, batch, options);
  return batches;
}

double DistillSource::take_share() {
  const double share =
      steps > 0 ? static_cast<double>(student_steps) / static_cast<double>(steps) : 0;
  steps = student_steps = 0;
  return share;
}

// Trained tokens of a document up to its token `begin`, which is the first of a piece: the piece's
// own first row is that of the token after it.
int64_t DistillSource::trained_before(size_t dataset, int64_t document, int64_t begin) const {
  if (begin == 0) return 0;
  const Dataset::Place place = datasets[dataset]->place(document);
  const auto first =
      static_cast<int64_t>(place.shard->offsets()[static_cast<size_t>(place.document)]);
  std::vector<uint8_t> mask(static_cast<size_t>(begin) + 1);
  place.shard->read("sequence", first, first + begin + 1, nullptr, mask.data());
  return std::count(mask.begin() + 1, mask.end(), uint8_t{1});
}

void DistillSource::add_rows(Batch& batch) const {
  const auto* targets = batch.targets.const_data_ptr<int64_t>();
  std::vector<int64_t> ids;
  std::vector<float> logp, tail;
  for (size_t d = 0; d < batch.origins.size(); ++d) {
    size_t dataset = 0;
    int64_t document = batch.origins[d].item;
    for (; document >= datasets[dataset]->documents(); ++dataset)
      document -= datasets[dataset]->documents();
    const int64_t count =
        (batch.cu_seqlens[d + 1] - batch.cu_seqlens[d]) -
        std::count(targets + batch.cu_seqlens[d], targets + batch.cu_seqlens[d + 1], kIgnore);
    if (count == 0) continue;
    sets[dataset].read(document, trained_before(dataset, document, batch.origins[d].begin), count,
                       ids, logp, tail);
  }
  const int64_t k = sets.front().info().k, rows = std::ssize(tail);
  batch.teacher = {at::tensor(ids, at::kLong).view({rows, k}),
                   at::tensor(logp, at::kFloat).view({rows, k}), at::tensor(tail, at::kFloat)};
}

BatchSource batches_of(DistillSource& source) {
  BatchSource batches = batches_of(source.loader);
  batches.next = [&source] { return source.next(); };
  return batches;
}

}  // namespace lathe
