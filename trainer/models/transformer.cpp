#include "trainer/models/transformer.h"

#include <cmath>

#include "parallel/unit_gate.h"
#include "trainer/kernels/embedding.h"
#include "trainer/kernels/head.h"
#include "trainer/kernels/head_loss.h"
#include "trainer/kernels/noise.h"
#include "trainer/kernels/product.h"
#include "trainer/models/recompute.h"
#include "trainer/models/shared_beginnings.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

// With what they share.
std::vector<int64_t> document_lengths(const Batch& batch) {
  std::vector<int64_t> lengths;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    lengths.push_back(batch.shared_of(d) + batch.cu_seqlens[d + 1] - batch.cu_seqlens[d]);
  }
  return lengths;
}

int64_t longest(const std::vector<int64_t>& lengths) {
  return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
}

// When document d goes on where caches[d] ends.
struct Continued {
  at::Tensor positions_T;
  std::vector<int64_t> lengths;  // with what the caches hold
};

Continued continue_documents(const Batch& batch, std::span<KvCache* const> caches) {
  std::vector<int64_t> positions, lengths;
  for (size_t d = 0; d < caches.size(); ++d) {
    const int64_t count = batch.cu_seqlens[d + 1] - batch.cu_seqlens[d];
    const int64_t end = caches[d]->length + count;
    caches[d]->make_room(count);
    for (int64_t p = caches[d]->length; p < end; ++p) positions.push_back(p);
    lengths.push_back(end);
  }
  return {at::tensor(positions, at::kLong).to(batch.tokens.device()), lengths};
}

at::Tensor scaled_embedding(const at::Tensor& tokens_T, TransformerParts& parts) {
  const at::Tensor x_SH = parts.tp.leave(embedding(tokens_T, parts.embedding));
  if (parts.embedding_scale == 1) return x_SH;
  // The scale is rounded to the weights' type first, as in the reference.
  return x_SH * at::scalar_tensor(parts.embedding_scale, x_SH.options());
}

at::Tensor position_embedding(const at::Tensor& positions_T, int64_t limit, Parameter& table_PH) {
  if (limit > table_PH.value.size(0)) {
    throw std::invalid_argument(
        "a sequence has " + std::to_string(limit) + " tokens but the model has learned " +
        std::to_string(table_PH.value.size(0)) + " positions; cut the sequences shorter");
  }
  return embedding(positions_T, table_PH);
}

// [T, width]: alpha / sqrt(length x width) U(-1, 1), the length being each document's own.
at::Tensor embedding_noise(const Batch& batch, const std::vector<int64_t>& lengths,
                           const at::Tensor& keys_T, double alpha, int64_t width) {
  at::Tensor scale_T = at::empty({keys_T.size(0), 1}, at::kFloat);
  for (size_t d = 0; d < lengths.size(); ++d) {
    const auto numbers = static_cast<double>(lengths[d] * width);
    scale_T.slice(0, batch.cu_seqlens[d], batch.cu_seqlens[d + 1])
        .fill_(alpha / std::sqrt(numbers));
  }
  return uniform_noise(keys_T, hash_name("neftune"), width) * scale_T.to(keys_T.device());
}

// x and what is to be added to it, past a unit's border.
void pass(std::vector<at::Tensor> (*gate)(Sharding*, int, std::vector<at::Tensor>),
          Sharding* sharding, int unit, Residual& residual) {
  std::vector<at::Tensor> tensors{residual.x_TH};
  if (residual.delta_TH.defined()) tensors.push_back(residual.delta_TH);
  tensors = gate(sharding, unit, std::move(tensors));
  residual.x_TH = tensors[0];
  if (residual.delta_TH.defined()) residual.delta_TH = tensors[1];
}

std::vector<at::Tensor> with_values(Sharding* sharding, int unit, std::vector<at::Tensor> tensors) {
  return out_of_unit(sharding, unit, std::move(tensors));
}

// The same out of a block, of which queries and keys are wanted too.
void pass_with_heads(Sharding* sharding, int unit, Residual& residual, Heads& heads) {
  const std::vector<at::Tensor> tensors = out_of_unit(
      sharding, unit, {residual.x_TH, residual.delta_TH, heads.q_TQD, heads.k_TKD});
  residual = {tensors[0], tensors[1]};
  heads.q_TQD = tensors[2];
  heads.k_TKD = tensors[3];
}

// Where it is wanted: the residual stream, of all tokens. Every rank gives it the whole gradient.
void show_hidden(LayerStates* states, int64_t layer, const Residual& residual,
                 const TensorParallel& tp, int64_t num_tokens) {
  if (states == nullptr || !states->hidden_TH.contains(layer)) return;
  const auto& [x_SH, delta_SH] = residual;
  const at::Tensor sum_SH = delta_SH.defined() ? x_SH + delta_SH : x_SH;
  states->hidden_TH[layer] =
      tp.shares_tokens() ? tp.same_everywhere(tp.enter(sum_SH, num_tokens)) : sum_SH;
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, TransformerParts parts)
    : config_(config), parts_(std::move(parts)) {
  const at::Device device = parts_.embedding.value.device();
  if (parts_.rotary) rotary_.emplace(*parts_.rotary, device);
  if (parts_.local_rotary) local_rotary_.emplace(*parts_.local_rotary, device);
}

std::vector<Parameter*> Transformer::parameters() {
  std::vector<Parameter*> all{&parts_.embedding};
  if (parts_.positions) all.push_back(&*parts_.positions);
  for (Block& block : parts_.blocks) block.list(all);
  parts_.norm.list(all);
  if (parts_.head) all.push_back(&*parts_.head);
  return all;
}

std::vector<std::vector<Parameter*>> Transformer::units() {
  std::vector<std::vector<Parameter*>> units(last_unit() + 1);
  units[0].push_back(&parts_.embedding);
  if (parts_.embedding.rows != nullptr) units[0].push_back(parts_.embedding.rows);
  if (parts_.positions) units[0].push_back(&*parts_.positions);
  for (size_t i = 0; i < parts_.blocks.size(); ++i) {
    Block& block = parts_.blocks[i];
    block.list(units[i + 1]);
    std::vector<LinearLayer*> linears;
    block.list_linears(linears);
    for (LinearLayer* layer : linears) layer->list_adapter(units[i + 1]);
  }
  parts_.norm.list(units[last_unit()]);
  if (parts_.head) units[last_unit()].push_back(&*parts_.head);
  return units;
}

std::vector<LinearLayer*> Transformer::linear_layers() {
  std::vector<LinearLayer*> all;
  for (Block& block : parts_.blocks) block.list_linears(all);
  return all;
}

void Transformer::set_checkpointing(Checkpointing mode) {
  // What a router decided would be known only when it is too late to join the loss.
  if (mode != Checkpointing::kOff && config_.output_router_logits) {
    throw std::invalid_argument(
        "gradient_checkpointing does not go with the balance loss of experts (output_router_logits "
        "in the model's config.json); turn one of them off");
  }
  checkpointing_ = mode;
}

at::Tensor Transformer::run(const Batch& batch, const at::Tensor& positions_T,
                            const std::vector<int64_t>& lengths, std::span<KvCache* const> caches,
                            LayerStates* states) {
  const auto angles = [&](std::optional<DocumentAngles>& of) {
    return of ? of->at(positions_T, batch.cu_seqlens, lengths) : RotaryAngles{};
  };
  // Owned by this function and by what backward will do again.
  const auto documents = std::make_shared<const Documents>(
      Documents{batch.cu_seqlens, batch.shared, angles(rotary_), angles(local_rotary_), caches,
                noise_ && caches.empty() ? token_keys(batch, *noise_) : at::Tensor()});
  Residual residual{embedded(batch, positions_T, lengths, documents->keys_T), {}};
  const int64_t num_tokens = batch.tokens.size(0);
  show_hidden(states, 0, residual, parts_.tp, num_tokens);
  const bool again = at::GradMode::is_enabled() && checkpointing_ != Checkpointing::kOff;
  std::vector<Routing> routings;
  const bool balanced = config_.output_router_logits && caches.empty();
  int layer = 0;
  for (Block& block : parts_.blocks) {
    const int unit = layer + 1;
    pass(into_unit, sharding_, unit, residual);
    const bool with_heads = states != nullptr && states->attention.contains(unit);
    Heads heads;
    if (again) {
      run_again_in_backward(block, residual, documents, layer++, checkpointing_,
                            with_heads ? &heads : nullptr);
    } else {
      heads = block.begin(residual, *documents);
      block.finish(residual, block.attend(heads, *documents, layer++), *documents,
                   balanced ? &routings : nullptr);
    }
    if (with_heads) {
      pass_with_heads(sharding_, unit, residual, heads);
      states->attention[unit] = {heads.q_TQD, heads.k_TKD, block.attention.scoring};
    } else {
      pass(with_values, sharding_, unit, residual);
    }
    if (unit + 1 < last_unit()) show_hidden(states, unit, residual, parts_.tp, num_tokens);
  }
  const at::Tensor balance = parts_.tp.same_everywhere(balance_loss(routings));
  auxiliary_loss_ = balance.defined() ? config_.router_aux_loss_coef * balance : balance;
  pass(into_unit, sharding_, last_unit(), residual);
  const at::Tensor normed_SH = residual.add_and_norm(&parts_.norm);
  // A head of its own goes on with this unit.
  const at::Tensor out_SH =
      parts_.head ? normed_SH : out_of_unit(sharding_, last_unit(), {normed_SH})[0];
  show_hidden(states, last_unit() - 1, {out_SH, {}}, parts_.tp, num_tokens);
  return parts_.tp.enter(out_SH, num_tokens);
}

at::Tensor Transformer::embedded(const Batch& batch, const at::Tensor& positions_T,
                                 const std::vector<int64_t>& lengths, const at::Tensor& keys_T) {
  const TensorParallel& tp = parts_.tp;
  if (sharding_ != nullptr) {
    sharding_->begin_pass();
    sharding_->begin_forward(0);
  }
  at::Tensor x_SH = scaled_embedding(batch.tokens, parts_);
  if (parts_.positions) {
    x_SH =
        x_SH + position_embedding(tp.own_tokens(positions_T), longest(lengths), *parts_.positions);
  }
  if (keys_T.defined() && noise_->neftune_alpha > 0) {
    const at::Tensor noise_TH =
        embedding_noise(batch, lengths, keys_T, noise_->neftune_alpha, config_.hidden_size);
    x_SH = x_SH + tp.own_tokens(noise_TH).to(x_SH.scalar_type());
  }
  // Its backward has gradients to add to, and needs no values.
  return out_of_unit(sharding_, 0, {x_SH}, /*values=*/false)[0];
}

bool Transformer::can_share(const Batch& batch, const std::vector<int64_t>& lengths) const {
  // The balance of experts counts each token of each document.
  if (config_.output_router_logits) return batch.shared.empty();
  // Where the length turns all of a document's tokens otherwise, there is nothing in common.
  int64_t regime = 0;
  for (size_t d = 0; d < batch.shared.size(); ++d) {
    if (batch.shared[d] == 0) regime = rotary_regime(config_, lengths[d]);
    if (rotary_regime(config_, lengths[d]) != regime) return false;
  }
  return true;
}

at::Tensor Transformer::hidden(const Batch& batch) {
  const std::vector<int64_t> lengths = document_lengths(batch);
  if (can_share(batch, lengths)) return run(batch, batch.positions, lengths, {}, nullptr);
  return take_own(hidden(whole_documents(batch)), batch.cu_seqlens, batch.shared);
}

at::Tensor Transformer::hidden(const Batch& batch, LayerStates& states) {
  if (!batch.shared.empty()) throw std::logic_error("hidden: layers are shown of whole documents");
  return run(batch, batch.positions, document_lengths(batch), {}, &states);
}

at::Tensor Transformer::hidden(const Batch& batch, std::span<KvCache* const> caches) {
  const at::NoGradGuard no_grad;
  if (caches.size() + 1 != batch.cu_seqlens.size() || !batch.shared.empty()) {
    throw std::logic_error("hidden: " + std::to_string(caches.size()) + " caches for " +
                           std::to_string(batch.cu_seqlens.size() - 1) + " whole documents");
  }
  if (caches.empty()) return hidden(batch);
  const auto [positions, lengths] = continue_documents(batch, caches);
  const at::Tensor out = run(batch, positions, lengths, caches, nullptr);
  for (size_t d = 0; d < caches.size(); ++d) {
    caches[d]->length += batch.cu_seqlens[d + 1] - batch.cu_seqlens[d];
  }
  return out;
}

HeadOutputs Transformer::head_outputs_of(const at::Tensor& hidden_NH, const at::Tensor& targets_N,
                                         bool with_mean) {
  if (sharding_ != nullptr) sharding_->begin_forward(head_unit());
  const HeadOutputs out = head_outputs(
      hidden_NH, head(), targets_N, {.softcap = parts_.logit_softcap, .tp = parts_.tp}, with_mean);
  std::vector<at::Tensor> tensors{out.log_probs, out.log_z};
  if (with_mean) tensors.push_back(out.mean_logit);
  tensors = out_of_unit(sharding_, head_unit(), std::move(tensors));
  return {tensors[0], tensors[1], with_mean ? tensors[2] : at::Tensor()};
}

at::Tensor Transformer::log_probs(const at::Tensor& hidden_NH, const at::Tensor& targets_N) {
  return head_outputs_of(hidden_NH, targets_N, false).log_probs;
}

TokenStatistics Transformer::token_statistics(const at::Tensor& hidden_NH,
                                              const at::Tensor& targets_N) {
  const HeadOutputs out = head_outputs_of(hidden_NH, targets_N, true);
  return {out.log_probs, out.log_z, out.mean_logit};
}

at::Tensor Transformer::logit_losses(const at::Tensor& hidden_NH, const LogitLoss& loss) {
  if (sharding_ != nullptr) sharding_->begin_forward(head_unit());
  const at::Tensor losses_N = head_losses(hidden_NH, head(), loss,
                                          {.chunk_rows = loss_chunk_rows(config_.vocab_size),
                                           .softcap = parts_.logit_softcap,
                                           .tp = parts_.tp});
  return out_of_unit(sharding_, head_unit(), {losses_N})[0];
}

at::Tensor Transformer::logits(const at::Tensor& hidden_NH) {
  const at::NoGradGuard no_grad;
  if (sharding_ != nullptr) sharding_->begin_forward(head_unit());
  at::Tensor logits_NV = product(hidden_NH, head().value);
  if (sharding_ != nullptr && !keeps_head_) sharding_->end_forward(head_unit());
  cap_logits(logits_NV, parts_.logit_softcap);
  return parts_.tp.join_columns(logits_NV.to(at::kFloat), head().cut);
}

void Transformer::keep_head(bool keep) {
  keeps_head_ = keep;
  if (sharding_ == nullptr) return;
  if (keep) {
    sharding_->begin_forward(head_unit());
  } else {
    sharding_->end_forward(head_unit());
  }
}

}  // namespace lathe
