#include "trainer/objective/cross_vocabulary.h"

#include <ATen/ATen.h>

#include <numeric>
#include <string>
#include <unordered_map>

#include "data/tokenize/token_view.h"
#include "trainer/objective/soft_targets.h"

namespace lathe {
namespace {

constexpr const char* kNotText = "\uFFFD";

// What each id says behind a letter, where it says anything by itself.
std::unordered_map<std::string, int64_t> ids_by_text(const Tokenizer& tokenizer) {
  const std::vector<int32_t> letter = tokenizer.encode("a", false);
  std::unordered_map<std::string, int64_t> ids;
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::vector<int64_t> both(letter.begin(), letter.end());
    both.push_back(id);
    const std::string text = token_texts(tokenizer, both).back();
    if (!text.empty() && text.find(kNotText) == std::string::npos) ids.emplace(text, id);
  }
  return ids;
}

// Ends of the tokens' texts, and the whole.
std::vector<int64_t> ends_of(const Tokenizer& tokenizer, std::span<const int64_t> ids,
                             std::string& text) {
  std::vector<int64_t> ends;
  for (const std::string& piece : token_texts(tokenizer, ids)) {
    text += piece;
    ends.push_back(std::ssize(text));
  }
  return ends;
}

}  // namespace

std::vector<int64_t> one_to_one(const std::vector<int64_t>& student_ends,
                                const std::vector<int64_t>& teacher_ends) {
  std::vector<int64_t> found(student_ends.size(), -1);
  // The group that is open: its first tokens.
  size_t s = 0, t = 0, first_s = 0, first_t = 0;
  while (s < student_ends.size() && t < teacher_ends.size()) {
    // What stands for no text, as a BOS, is in no group.
    if (t == first_t && teacher_ends[t] == (t == 0 ? 0 : teacher_ends[t - 1])) {
      first_t = ++t;
      continue;
    }
    if (student_ends[s] < teacher_ends[t]) {
      ++s;
      continue;
    }
    if (teacher_ends[t] < student_ends[s]) {
      ++t;
      continue;
    }
    const bool empty = student_ends[s] == (s == 0 ? 0 : student_ends[s - 1]);
    if (s == first_s && t == first_t && !empty) found[s] = static_cast<int64_t>(t);
    first_s = ++s;
    first_t = ++t;
  }
  return found;
}

CrossVocabulary::CrossVocabulary(const Tokenizer& student, const Tokenizer& teacher)
    : student_(student), teacher_(teacher) {
  const auto of_teacher = ids_by_text(teacher_);
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (const auto& [text, id] : ids_by_text(student_)) {
    if (const auto same = of_teacher.find(text); same != of_teacher.end())
      pairs.emplace_back(id, same->second);
  }
  std::sort(pairs.begin(), pairs.end());
  std::vector<int64_t> student_ids, teacher_ids;
  for (const auto& [of_student, of_the_teacher] : pairs) {
    student_ids.push_back(of_student);
    teacher_ids.push_back(of_the_teacher);
  }
  shared_ = {at::tensor(student_ids, at::kLong), at::tensor(teacher_ids, at::kLong)};
}

// Then the teacher's own would be a second one.
bool CrossVocabulary::has_bos(const std::string& text) const {
  return teacher_.bos() && text.starts_with(teacher_.token_of(*teacher_.bos()));
}

CrossVocabulary::Reading CrossVocabulary::read(const Batch& batch) const {
  const at::Tensor tokens_T = batch.tokens.cpu(), targets_T = batch.targets.cpu();
  const auto* tokens = tokens_T.const_data_ptr<int64_t>();
  const auto* targets = targets_T.const_data_ptr<int64_t>();
  std::vector<std::vector<int64_t>> documents;
  std::vector<int64_t> positions;
  int64_t before = 0;  // teacher's tokens of the documents so far
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const int64_t begin = batch.cu_seqlens[d], end = batch.cu_seqlens[d + 1];
    std::string text;
    const std::vector<int64_t> student_ends =
        ends_of(student_, {tokens + begin, static_cast<size_t>(end - begin)}, text);
    const Encoding encoding = teacher_.encode_with_offsets(text, !has_bos(text));
    const std::vector<int64_t> same =
        one_to_one(student_ends, {encoding.end.begin(), encoding.end.end()});
    for (int64_t t = begin; t < end; ++t) {
      if (targets[t] == kIgnore) continue;
      // The position in front of the token. Before the first there is none.
      const int64_t token = same[static_cast<size_t>(t + 1 - begin)];
      positions.push_back(token > 0 ? before + token - 1 : -1);
    }
    documents.emplace_back(encoding.ids.begin(), encoding.ids.end());
    before += std::ssize(documents.back());
  }
  std::vector<DocumentView> views;
  for (const auto& ids : documents) views.push_back({ids.data(), nullptr, std::ssize(ids)});
  const at::Device device = batch.tokens.device();
  return {make_batch(views).to(device), at::tensor(positions, at::kLong).to(device)};
}

ChunkLoss divergence_of_shared(const at::Tensor& student_CV, const at::Tensor& teacher_CW,
                               const SharedTokens& shared, const DistillConfig& config,
                               bool with_gradient) {
  const at::Device device = student_CV.device();
  const at::Tensor log_p_CW = (teacher_CW / config.temperature).log_softmax(1);
  at::Tensor log_p_CM = log_p_CW.index_select(1, shared.teacher_ids_M.to(device));
  at::Tensor ids_CM = shared.student_ids_M.to(device).expand_as(log_p_CM);
  if (config.top_k > 0 && config.top_k < log_p_CM.size(1)) {
    const auto [best, places] = log_p_CM.topk(config.top_k, 1);
    log_p_CM = best;
    ids_CM = ids_CM.gather(1, places);
  }
  const at::Tensor rest_C = (1 - log_p_CM.to(at::kDouble).exp().sum(1)).clamp_min(0).log();
  return divergence_of_top_k(student_CV, {ids_CM, log_p_CM, rest_C.to(at::kFloat)}, config,
                             with_gradient);
}

ChunkLoss uld_of_rows(const at::Tensor& student_CV, const at::Tensor& teacher_CW,
                      const DistillConfig& config, bool with_gradient) {
  const double t = config.temperature, factor = config.temperature_squared ? t * t : 1;
  const at::Tensor q_CV = (student_CV / t).softmax(1);
  const auto [sorted_q, order] = q_CV.sort(1, /*descending=*/true);
  const auto [sorted_p, unused] = (teacher_CW / t).softmax(1).sort(1, /*descending=*/true);
  const int64_t own = q_CV.size(1), both = std::min(own, sorted_p.size(1));
  at::Tensor gap_CV = sorted_q.clone();
  gap_CV.slice(1, 0, both).sub_(sorted_p.slice(1, 0, both));
  const at::Tensor losses_C = gap_CV.abs().sum(1) + sorted_p.slice(1, both).sum(1);
  if (!with_gradient) return {factor * losses_C, {}};
  // d / d q, back where each q stands, then through the softmax.
  const at::Tensor slope_CV = q_CV * at::empty_like(gap_CV).scatter_(1, order, gap_CV.sign());
  return {factor * losses_C, (slope_CV - q_CV * slope_CV.sum(1, true)) * (factor / t)};
}

}  // namespace lathe
