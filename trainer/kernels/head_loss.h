#pragma once

#include "trainer/kernels/head.h"
#include "trainer/kernels/logit_loss.h"

namespace lathe {

// hidden_NH -> [N] float32: what `loss` makes of each row of logits hidden W^T. [N, V] never exists
// at once: rows are done in chunks, and a chunk's gradient is kept while HeadOptions::keep_bytes
// last, else computed again in backward. `loss` lives on in the graph, with what it holds. It sees
// whole rows also where the vocabulary is cut over ranks, each of which then does the same.
at::Tensor head_losses(const at::Tensor& hidden_NH, Parameter& weight_VH, const LogitLoss& loss,
                       const HeadOptions& options = {});

// Rows of a chunk for a vocabulary of this size, 128 to 256: 64 MiB of float32 and more.
int64_t loss_chunk_rows(int64_t vocabulary);

}  // namespace lathe
