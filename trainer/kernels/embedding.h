#pragma once

#include <ATen/core/Tensor.h>

#include "parallel/parameter.h"

// Rows of a table. Backward adds the rows' gradients in float32, in the order of the tokens: ATen's
// own backward adds in the compute type, where 4,096 ones give 256 in bfloat16. Shape letters: T
// tokens, V vocabulary, H width.
namespace lathe {

// std::invalid_argument for the first token outside 0 .. vocabulary - 1. tokens_T contiguous int64;
// on a GPU, where it would make the host wait, nothing is checked.
void check_tokens(const at::Tensor& tokens_T, int64_t vocabulary);

// tokens_T -> [T, H]. Checks the tokens. Of a table that is cut over ranks: zeros for another
// rank's tokens.
at::Tensor embedding(const at::Tensor& tokens_T, Parameter& table_VH);

}  // namespace lathe
