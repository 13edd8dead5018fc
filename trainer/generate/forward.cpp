#include "trainer/generate/forward.h"

#include <ATen/ATen.h>

#include "trainer/models/rotary_table.h"

namespace lathe {

at::Tensor next_logits(Model& model, const std::vector<ReadableSequence>& sequences) {
  std::vector<int64_t> tokens, last;
  std::vector<KvCache*> caches;
  Batch batch;
  batch.cu_seqlens = {0};
  for (const ReadableSequence& sequence : sequences) {
    const ModelConfig& config = model.config();
    if (rotary_regime(config, sequence.cache->length) !=
        rotary_regime(config, std::ssize(sequence.ids))) {
      sequence.cache->forget();
    }
    const auto unread = sequence.ids.subspan(static_cast<size_t>(sequence.cache->length));
    tokens.insert(tokens.end(), unread.begin(), unread.end());
    batch.cu_seqlens.push_back(std::ssize(tokens));
    if (sequence.wants_logits) last.push_back(std::ssize(tokens) - 1);
    caches.push_back(sequence.cache);
  }
  const at::Device device = model.parameters().front()->value.device();
  batch.tokens = at::tensor(tokens, at::kLong).to(device);
  const at::Tensor hidden = model.hidden(batch, caches);
  return model.logits(hidden.index_select(0, at::tensor(last, at::kLong).to(device)))
      .to(at::kCPU)
      .contiguous();
}

}  // namespace lathe
