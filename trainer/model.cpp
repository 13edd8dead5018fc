#include "trainer/model.h"

#include <ATen/Parallel.h>

#include "trainer/philox.h"

namespace lathe {
namespace {

void fill_normal(float* values, int64_t count, double deviation, uint64_t seed, uint64_t stream) {
  at::parallel_for(0, (count + 3) / 4, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const auto four = normals_from(philox(seed, block, stream));
      for (int64_t i = 0; i < 4 && 4 * block + i < count; ++i) {
        values[4 * block + i] = static_cast<float>(four[i] * deviation);
      }
    }
  });
}

void initialize(Parameter& parameter, double deviation, double norm_weight, uint64_t seed) {
  if (parameter.value.dim() < 2) {
    parameter.value.fill_(parameter.name.ends_with(".bias") ? 0 : norm_weight);
    return;
  }
  at::Tensor values = at::empty(parameter.value.sizes(), at::kFloat);
  fill_normal(values.mutable_data_ptr<float>(), values.numel(), deviation, seed,
              hash_name(parameter.name));
  parameter.value.copy_(values);
}

}  // namespace

KvCache Model::make_cache(int64_t capacity) {
  const ModelConfig& c = config();
  const at::TensorOptions options = parameters().front()->value.options().requires_grad(false);
  KvCache cache;
  cache.capacity = capacity;
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    cache.keys.push_back(at::empty({capacity, c.num_key_value_heads, c.head_dim}, options));
    cache.values.push_back(at::empty({capacity, c.num_key_value_heads, c.head_dim}, options));
  }
  return cache;
}

void initialize(Model& model, uint64_t seed) {
  const at::NoGradGuard no_grad;
  // Gemma's norms add 1 to their weights.
  const double norm_weight = model.config().model_type.starts_with("gemma") ? 0 : 1;
  for (Parameter* parameter : model.parameters()) {
    initialize(*parameter, model.config().initializer_range, norm_weight, seed);
  }
}

}  // namespace lathe
