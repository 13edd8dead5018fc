#include "trainer/kernels/embedding.h"

#include <ATen/Parallel.h>

#include "trainer/kernels/dispatch.h"
#include "trainer/kernels/product.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Threads take columns, so that each sum runs over the tokens in their order however many threads
// there are.
template <typename T>
void add_rows(float* grad, const int64_t* tokens, const T* dy, int64_t num_tokens, int64_t width) {
  constexpr int64_t kColumns = 64;
  const int64_t parts = (width + kColumns - 1) / kColumns;
  const int64_t grain = std::max<int64_t>(1, 16384 / (kColumns * std::max<int64_t>(1, num_tokens)));
  at::parallel_for(0, parts, grain, [&](int64_t first, int64_t last) {
    const int64_t begin = first * kColumns, end = std::min(width, last * kColumns);
    for (int64_t t = 0; t < num_tokens; ++t) {
      if (tokens[t] < 0) continue;
      float* row = grad + tokens[t] * width;
      const T* from = dy + t * width;
      for (int64_t i = begin; i < end; ++i) row[i] += static_cast<float>(from[i]);
    }
  });
}

void add_rows(at::Tensor& grad_VH, const at::Tensor& tokens_T, const at::Tensor& dy_TH) {
  const int64_t* ids = tokens_T.is_cpu() ? tokens_T.const_data_ptr<int64_t>() : nullptr;
  float* grad = ids != nullptr && grad_VH.is_contiguous() && grad_VH.scalar_type() == at::kFloat
                    ? grad_VH.mutable_data_ptr<float>()
                    : nullptr;
  if (grad != nullptr && dy_TH.scalar_type() == at::kFloat) {
    add_rows(grad, ids, dy_TH.const_data_ptr<float>(), dy_TH.size(0), dy_TH.size(1));
  } else if (grad != nullptr && dy_TH.scalar_type() == at::kBFloat16) {
    add_rows(grad, ids, dy_TH.const_data_ptr<at::BFloat16>(), dy_TH.size(0), dy_TH.size(1));
  } else {
    const at::Tensor here = tokens_T.ge(0).nonzero().squeeze(1);
    grad_VH.index_add_(0, tokens_T.index_select(0, here),
                       dy_TH.index_select(0, here).to(grad_VH.scalar_type()));
  }
}

void copy_trained_rows(Parameter& table) {
  table.value.detach().index_copy_(0, table.row_ids,
                                   table.rows->value.detach().to(table.value.scalar_type()));
}

// Of the tokens that are trained rows, each to its row.
void add_to_trained_rows(Parameter& table, const at::Tensor& tokens_T, const at::Tensor& dy_TH) {
  const at::Tensor found_TN = tokens_T.unsqueeze(1).eq(table.row_ids.unsqueeze(0));
  const at::Tensor places = found_TN.nonzero();  // (token, row), in the order of the tokens
  add_rows(gradient_sum(*table.rows), places.select(1, 1).contiguous(),
           dy_TH.index_select(0, places.select(1, 0)));
}

struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  // The leaf is an input only so that the graph exists.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& table_VH, const at::Tensor&,
                            const at::Tensor& tokens_T, Parameter* table) {
    ctx->save_for_backward({tokens_T});
    ctx->saved_data["table"] = reinterpret_cast<int64_t>(table);
    if (table->rows != nullptr) copy_trained_rows(*table);
    if (table->cut.is_whole()) return table_VH.index_select(0, tokens_T);
    const at::Tensor elsewhere_T1 = tokens_T.lt(0).unsqueeze(1);
    return table_VH.index_select(0, tokens_T.clamp_min(0)).masked_fill_(elsewhere_T1, 0);
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    auto& table = *reinterpret_cast<Parameter*>(ctx->saved_data["table"].toInt());
    if (table.trained) {
      add_rows(gradient_sum(table), ctx->get_saved_variables()[0], dy[0].contiguous());
    } else if (table.rows != nullptr) {
      add_to_trained_rows(table, ctx->get_saved_variables()[0], dy[0].contiguous());
    }
    return {at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

void check_tokens(const at::Tensor& tokens_T, int64_t vocabulary) {
  if (!tokens_T.is_cpu()) return;
  const int64_t* ids = tokens_T.const_data_ptr<int64_t>();
  for (int64_t t = 0; t < tokens_T.numel(); ++t) {
    if (ids[t] >= 0 && ids[t] < vocabulary) continue;
    throw std::invalid_argument("token " + std::to_string(ids[t]) + " at position " +
                                std::to_string(t) + " is outside the model's vocabulary of " +
                                std::to_string(vocabulary) +
                                "; was the data tokenized for another model?");
  }
}

at::Tensor embedding(const at::Tensor& tokens_T, Parameter& table_VH) {
  const at::Tensor tokens = tokens_T.contiguous();
  check_tokens(tokens, table_VH.whole_shape()[0]);
  const Parameter& leaf = table_VH.rows != nullptr ? *table_VH.rows : table_VH;
  return EmbeddingFunction::apply(table_VH.value, leaf.value, local_indices(tokens, table_VH.cut),
                                  &table_VH);
}

}  // namespace lathe
