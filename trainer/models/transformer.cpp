#include "trainer/models/transformer.h"

#include <cmath>

#include "trainer/kernels/embedding.h"
#include "trainer/kernels/head.h"
#include "trainer/kernels/head_loss.h"
#include "trainer/kernels/noise.h"
#include "trainer/kernels/product.h"
#include "trainer/models/recompute.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

std::vector<int64_t> document_lengths(const std::vector<int64_t>& cu_seqlens) {
  std::vector<int64_t> lengths;
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    lengths.push_back(cu_seqlens[d + 1] - cu_seqlens[d]);
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
    if (end > caches[d]->capacity) {
      throw std::invalid_argument("a KV cache of capacity " + std::to_string(caches[d]->capacity) +
                                  " cannot hold " + std::to_string(end) + " tokens");
    }
    for (int64_t p = caches[d]->length; p < end; ++p) positions.push_back(p);
    lengths.push_back(end);
  }
  return {at::tensor(positions, at::kLong).to(batch.tokens.device()), lengths};
}

at::Tensor scaled_embedding(const at::Tensor& tokens_T, TransformerParts& parts) {
  const at::Tensor x_TH = embedding(tokens_T, parts.embedding);
  if (parts.embedding_scale == 1) return x_TH;
  // The scale is rounded to the weights' type first, as in the reference.
  return x_TH * at::scalar_tensor(parts.embedding_scale, x_TH.options());
}

at::Tensor position_embedding(const at::Tensor& positions_T, int64_t limit, Parameter& table_PH) {
  if (limit > table_PH.value.size(0)) {
    throw std::invalid_argument(
        "a sequence has " + std::to_string(limit) + " tokens but the model has learned " +
        std::to_string(table_PH.value.size(0)) + " positions; cut the sequences shorter");
  }
  return embedding(positions_T, table_PH);
}

// alpha / sqrt(length x width) U(-1, 1), the length being each document's own.
at::Tensor embedding_noise(const Batch& batch, const at::Tensor& keys_T, double alpha,
                           const at::Tensor& x_TH) {
  at::Tensor scale_T = at::empty({x_TH.size(0), 1}, at::kFloat);
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const int64_t begin = batch.cu_seqlens[d], end = batch.cu_seqlens[d + 1];
    const auto numbers = static_cast<double>((end - begin) * x_TH.size(1));
    scale_T.slice(0, begin, end).fill_(alpha / std::sqrt(numbers));
  }
  return (uniform_noise(keys_T, hash_name("neftune"), x_TH.size(1)) *
          scale_T.to(x_TH.device()))
      .to(x_TH.scalar_type());
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
                            std::vector<at::Tensor>* states) {
  const auto angles = [&](std::optional<DocumentAngles>& of) {
    return of ? of->at(positions_T, batch.cu_seqlens, lengths) : RotaryAngles{};
  };
  // Owned by this function and by what backward will do again.
  const auto documents = std::make_shared<const Documents>(
      Documents{batch.cu_seqlens, angles(rotary_), angles(local_rotary_), caches,
                noise_ && caches.empty() ? token_keys(batch, *noise_) : at::Tensor()});
  Residual residual{scaled_embedding(batch.tokens, parts_), {}};
  at::Tensor& x_TH = residual.x_TH;
  if (parts_.positions) {
    x_TH = x_TH + position_embedding(positions_T, longest(lengths), *parts_.positions);
  }
  if (documents->keys_T.defined() && noise_->neftune_alpha > 0) {
    x_TH = x_TH + embedding_noise(batch, documents->keys_T, noise_->neftune_alpha, x_TH);
  }
  const bool again = at::GradMode::is_enabled() && states == nullptr;
  std::vector<Routing> routings;
  const bool balanced = config_.output_router_logits && caches.empty();
  int64_t layer = 0;
  for (Block& block : parts_.blocks) {
    if (again && checkpointing_ != Checkpointing::kOff) {
      run_again_in_backward(block, residual, documents, layer++, checkpointing_);
      continue;
    }
    const Heads heads = block.begin(residual, *documents);
    if (states != nullptr) states->push_back(x_TH);
    block.finish(residual, block.attend(heads, *documents, layer++), *documents,
                 balanced ? &routings : nullptr);
  }
  const at::Tensor balance = balance_loss(routings);
  auxiliary_loss_ = balance.defined() ? config_.router_aux_loss_coef * balance : balance;
  const at::Tensor normed_TH = residual.add_and_norm(&parts_.norm);
  if (states != nullptr) states->insert(states->end(), {x_TH, normed_TH});
  return normed_TH;
}

at::Tensor Transformer::hidden(const Batch& batch) {
  return run(batch, batch.positions, document_lengths(batch.cu_seqlens), {}, nullptr);
}

std::vector<at::Tensor> Transformer::hidden_states(const Batch& batch) {
  std::vector<at::Tensor> states;
  run(batch, batch.positions, document_lengths(batch.cu_seqlens), {}, &states);
  return states;
}

at::Tensor Transformer::hidden(const Batch& batch, std::span<KvCache* const> caches) {
  const at::NoGradGuard no_grad;
  if (caches.size() + 1 != batch.cu_seqlens.size()) {
    throw std::logic_error("hidden: " + std::to_string(caches.size()) + " caches for " +
                           std::to_string(batch.cu_seqlens.size() - 1) + " documents");
  }
  if (caches.empty()) return hidden(batch);
  const auto [positions, lengths] = continue_documents(batch, caches);
  const at::Tensor out = run(batch, positions, lengths, caches, nullptr);
  for (size_t d = 0; d < caches.size(); ++d) {
    caches[d]->length += batch.cu_seqlens[d + 1] - batch.cu_seqlens[d];
  }
  return out;
}

at::Tensor Transformer::log_probs(const at::Tensor& hidden_NH, const at::Tensor& targets_N) {
  return head_log_probs(hidden_NH, head(), targets_N, {.softcap = parts_.logit_softcap});
}

TokenStatistics Transformer::token_statistics(const at::Tensor& hidden_NH,
                                              const at::Tensor& targets_N) {
  const HeadOutputs out =
      head_outputs(hidden_NH, head(), targets_N, {.softcap = parts_.logit_softcap}, true);
  return {out.log_probs, out.log_z, out.mean_logit};
}

at::Tensor Transformer::logit_losses(const at::Tensor& hidden_NH, const LogitLoss& loss) {
  return head_losses(hidden_NH, head(), loss,
                     {.chunk_rows = loss_chunk_rows(config_.vocab_size),
                      .softcap = parts_.logit_softcap});
}

at::Tensor Transformer::logits(const at::Tensor& hidden_NH) {
  const at::NoGradGuard no_grad;
  at::Tensor logits_NV = product(hidden_NH, head().value);
  cap_logits(logits_NV, parts_.logit_softcap);
  return logits_NV.to(at::kFloat);
}

}  // namespace lathe
