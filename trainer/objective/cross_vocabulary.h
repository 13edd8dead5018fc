#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "data/loader/batch.h"
#include "data/tokenize/tokenizer.h"
#include "trainer/kernels/logit_loss.h"
#include "trainer/objective/distill_config.h"

// A teacher that numbers its tokens otherwise than the student. It reads the student's text in its
// own tokens; both cuts of the text are laid side by side by byte offsets, in the smallest groups
// that begin and end together. Where a group is one token in both, the two distributions in front
// of it are about the same thing and are compared; elsewhere they are not.
namespace lathe {

// Of each student's token, the teacher's that covers the same bytes alone, or -1. Ends of the spans
// in the text; a token may cover none.
std::vector<int64_t> one_to_one(const std::vector<int64_t>& student_ends,
                                const std::vector<int64_t>& teacher_ends);

// Tokens that both vocabularies have: [M] ids of each.
struct SharedTokens {
  at::Tensor student_ids_M, teacher_ids_M;
};

class CrossVocabulary {
 public:
  // Both tokenizers outlive this.
  CrossVocabulary(const Tokenizer& student, const Tokenizer& teacher);

  // What the teacher reads in a batch's place, and of each of the batch's N targets the position
  // there whose distribution it is compared with, or -1. On the batch's device.
  struct Reading {
    Batch batch;
    at::Tensor positions_N;
  };
  Reading read(const Batch& batch) const;

  const SharedTokens& shared() const { return shared_; }  // by their text
  // Ids that the teacher's head is cropped to.
  int64_t teacher_vocabulary() const { return teacher_.vocab_size(); }

 private:
  bool has_bos(const std::string& text) const;

  const Tokenizer& student_;
  const Tokenizer& teacher_;
  SharedTokens shared_;
};

// aligned: the divergence over the tokens that both have, the rest being what top_k_rest says.
ChunkLoss divergence_of_shared(const at::Tensor& student_CV, const at::Tensor& teacher_CW,
                               const SharedTokens& shared, const DistillConfig& config,
                               bool with_gradient);

// uld (Boizard et al. 2024, arXiv:2402.12030): sum |p_(i) - q_(i)| of probabilities in falling
// order, whatever they belong to; the shorter list goes on with zeros.
ChunkLoss uld_of_rows(const at::Tensor& student_CV, const at::Tensor& teacher_CW,
                      const DistillConfig& config, bool with_gradient);

}  // namespace lathe
