#include "recipes/answer_log_probs.h"

#include <algorithm>

#include "data/loader/batch.h"
#include "trainer/objective/preference.h"

namespace lathe {
namespace {

constexpr int64_t kTokensTogether = 4096;

void read_together(Model& model, const std::vector<AnswerIds>& answers, size_t begin, size_t end,
                   at::Device device, Passes& passes, std::vector<double>& sums) {
  std::vector<DocumentView> documents;
  DocumentView whole{};  // the last one
  for (size_t i = begin; i < end; ++i) {
    DocumentView next{answers[i].ids.data(), answers[i].trained.data(), std::ssize(answers[i].ids)};
    next.shared = shared_beginning(whole, next);
    if (next.shared == 0) whole = next;
    documents.push_back(next);
  }
  passes.announce();
  const at::Tensor sums_D =
      sequence_log_probs(model, make_batch(documents).to(device)).sums_D.cpu();
  for (int64_t d = 0; d < sums_D.numel(); ++d) sums.push_back(sums_D[d].item<double>());
}

}  // namespace

AnswerIds written_answer(const StageContext& c, const Line& prompt, const std::string& text) {
  Conversation whole = conversation_of(prompt);
  for (Message& message : whole.messages) message.train = false;
  whole.messages.push_back({"assistant", text});
  whole.messages.back().train = true;
  const MaskedIds masked =
      tokenize_chat(c.tokenizer, c.format.render(whole, false, /*mark=*/true), true);
  return {{masked.ids.begin(), masked.ids.end()}, masked.mask};
}

AnswerIds sampled_answer(const StageContext& c, const Line& prompt,
                         const std::vector<int64_t>& ids) {
  AnswerIds answer{ids_of(c, conversation_of(prompt), true), {}};
  answer.trained.resize(answer.ids.size(), 0);
  answer.ids.insert(answer.ids.end(), ids.begin(), ids.end());
  answer.trained.resize(answer.ids.size(), 1);
  return answer;
}

std::vector<double> answer_log_probs(Model& model, const std::vector<AnswerIds>& answers,
                                     at::Device device, Passes& passes) {
  const at::NoGradGuard no_grad;
  std::vector<double> sums;
  size_t begin = 0;
  int64_t tokens = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const int64_t length = std::ssize(answers[i].ids);
    if (i > begin && tokens + length > kTokensTogether) {
      read_together(model, answers, begin, i, device, passes, sums);
      begin = i;
      tokens = 0;
    }
    tokens += length;
  }
  if (begin < answers.size())
    read_together(model, answers, begin, answers.size(), device, passes, sums);
  return sums;
}

void finish_passes(Model& model, at::Device device, Passes& passes) {
  const at::NoGradGuard no_grad;
  passes.finish([&] { sequence_log_probs(model, make_batch({}).to(device)); });
}

int64_t num_answer_tokens(const AnswerIds& answer) {
  return std::count(answer.trained.begin(), answer.trained.end(), uint8_t{1});
}

}  // namespace lathe
