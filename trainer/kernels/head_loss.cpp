#include "trainer/kernels/head_loss.h"

#include <algorithm>

#include "trainer/kernels/product.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// How a function travels in the graph, with the ranks that the vocabulary is cut over.
struct LossHolder : torch::CustomClassHolder {
  LossHolder(LogitLoss loss, TensorParallel tp) : loss(std::move(loss)), tp(tp) {}
  LogitLoss loss;
  TensorParallel tp;
};

// Columns of whole rows that are this rank's rows of the weight.
at::Tensor own_columns(const at::Tensor& whole_CV, const Cut& rows_of_weight) {
  if (rows_of_weight.is_whole()) return whole_CV;
  const Cut columns{.shape = whole_CV.sizes().vec(), .dim = 1, .runs = rows_of_weight.runs};
  return part_of(whole_CV, columns).contiguous();
}

// Of this rank's columns of logits. The slope of the cap is 1 - (capped / cap)^2.
ChunkLoss loss_of(const LogitLoss& loss, const at::Tensor& logits_CV, const Cut& rows_of_weight,
                  const ChunkRequest& request, double softcap, const TensorParallel& tp) {
  const at::Tensor own_CV = logits_CV.to(accumulate_type(logits_CV.scalar_type()));
  ChunkLoss out = loss(tp.join_columns(own_CV, rows_of_weight), request);
  if (!out.dlogits_CV.defined()) return out;
  out.dlogits_CV = own_columns(out.dlogits_CV, rows_of_weight);
  if (softcap > 0) out.dlogits_CV = out.dlogits_CV * (1 - (own_CV / softcap).square());
  return out;
}

struct HeadLossFunction : torch::autograd::Function<HeadLossFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden_NH, const at::Tensor&,
                            Parameter* weight, const LogitLoss& loss, HeadOptions options,
                            bool with_gradient) {
    const int64_t num_rows = hidden_NH.size(0);
    const int64_t chunk_rows = even_chunk_rows(num_rows, options.chunk_rows);
    const at::Tensor operand = product_operand(weight->value);
    std::vector<at::Tensor> losses{
        at::empty({0}, hidden_NH.options().dtype(accumulate_type(hidden_NH.scalar_type())))};
    variable_list saved{hidden_NH};
    int64_t kept_bytes = 0;
    for (int64_t begin = 0; begin < num_rows; begin += chunk_rows) {
      const int64_t end = std::min(num_rows, begin + chunk_rows);
      at::Tensor logits_CV = product(hidden_NH.slice(0, begin, end), operand);
      cap_logits(logits_CV, options.softcap, options.path);
      kept_bytes += static_cast<int64_t>(logits_CV.nbytes());
      const bool keep = with_gradient && kept_bytes <= options.keep_bytes;
      const ChunkLoss out =
          loss_of(loss, logits_CV, weight->cut, {.begin = begin, .with_gradient = keep},
                  options.softcap, options.tp);
      losses.push_back(out.losses_C);
      if (keep) saved.push_back(out.dlogits_CV.to(hidden_NH.scalar_type()));
    }
    ctx->save_for_backward(saved);
    ctx->saved_data["weight"] = reinterpret_cast<int64_t>(weight);
    ctx->saved_data["chunk_rows"] = chunk_rows;
    ctx->saved_data["softcap"] = options.softcap;
    ctx->saved_data["plain"] = options.path == Path::kPlain;
    ctx->saved_data["hidden"] = hidden_NH.requires_grad();
    ctx->saved_data["loss"] =
        c10::IValue::make_capsule(c10::make_intrusive<LossHolder>(loss, options.tp));
    return at::cat(losses);
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& hidden_NH = saved[0];
    auto& weight = *reinterpret_cast<Parameter*>(ctx->saved_data["weight"].toInt());
    const auto holder =
        c10::static_intrusive_pointer_cast<LossHolder>(ctx->saved_data["loss"].toCapsule());
    const Path path = ctx->saved_data["plain"].toBool() ? Path::kPlain : Path::kBest;
    const double softcap = ctx->saved_data["softcap"].toDouble();
    const int64_t chunk_rows = ctx->saved_data["chunk_rows"].toInt(), num_rows = hidden_NH.size(0);
    const bool hidden_needs = ctx->saved_data["hidden"].toBool();
    const at::Tensor operand = product_operand(weight.value);
    at::Tensor dhidden_NH = hidden_needs ? at::empty_like(hidden_NH) : at::Tensor();
    size_t next_kept = 1;
    for (int64_t begin = 0; begin < num_rows; begin += chunk_rows) {
      const int64_t end = std::min(num_rows, begin + chunk_rows);
      const at::Tensor hidden = hidden_NH.slice(0, begin, end);
      at::Tensor dlogits;
      if (next_kept < saved.size()) {
        dlogits = saved[next_kept++];
      } else {
        at::Tensor logits_CV = product(hidden, operand);
        cap_logits(logits_CV, softcap, path);
        dlogits =
            loss_of(holder->loss, logits_CV, weight.cut,
                    {.begin = begin, .with_gradient = true, .is_again = true}, softcap, holder->tp)
                .dlogits_CV;
      }
      // Kept gradients stay as they are: the graph may be run again.
      dlogits = (dlogits * dy[0].slice(0, begin, end).unsqueeze(1)).to(hidden.scalar_type());
      if (weight.trained) {
        add_outer(gradient_sum(weight), dlogits, hidden);
      } else if (weight.rows != nullptr) {
        add_outer(gradient_sum(*weight.rows), dlogits.index_select(1, weight.row_ids), hidden);
      }
      if (hidden_needs) dhidden_NH.slice(0, begin, end).copy_(product_back(dlogits, operand));
    }
    return {dhidden_NH, {}, {}, {}, {}, {}};
  }
};

}  // namespace

int64_t loss_chunk_rows(int64_t vocabulary) {
  return std::clamp<int64_t>((int64_t{1} << 24) / std::max<int64_t>(1, vocabulary), 128, 256);
}

at::Tensor head_losses(const at::Tensor& hidden_NH, Parameter& weight_VH, const LogitLoss& loss,
                       const HeadOptions& options) {
  const bool with_gradient =
      at::GradMode::is_enabled() && (hidden_NH.requires_grad() || weight_VH.value.requires_grad());
  return HeadLossFunction::apply(hidden_NH.contiguous(), weight_VH.value, &weight_VH, loss, options,
                                 with_gradient);
}

}  // namespace lathe
