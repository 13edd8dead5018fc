#pragma once

#include "data/loader/batch.h"
#include "trainer/kernels/attention.h"

// Documents that go on behind the beginning of another (Batch::shared). What works token by token
// runs on the row as it is; for attention they are laid whole, each beginning copied before what
// goes on behind it. T tokens of the row, W of documents laid whole.
namespace lathe {

// attention() where documents may share their beginnings; where none does, that and nothing else.
at::Tensor attention_of_sharing(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                                const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                                const std::vector<int64_t>& shared, const Scoring& scoring);

// Tokens, positions and boundaries of the documents laid whole; there is no target.
Batch whole_documents(const Batch& batch);

// [W, ...] -> [T, ...]: of the row's own tokens, differentiable.
at::Tensor take_own(const at::Tensor& x_W, const std::vector<int64_t>& cu_seqlens,
                    const std::vector<int64_t>& shared);

}  // namespace lathe
