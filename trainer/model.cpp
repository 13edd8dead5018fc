#include "trainer/model.h"

#include <ATen/Parallel.h>

#include "parallel/sharding.h"
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

}  // namespace

KvCache Model::make_cache(int64_t capacity) {
  const ModelConfig& c = config();
  if (!kv_pool_) {
    const std::vector<int64_t> shape{c.num_hidden_layers, 2, num_kv_heads(), kKvBlock, c.head_dim};
    kv_pool_ =
        std::make_unique<KvPool>(shape, parameters().front()->value.options().requires_grad(false));
  }
  return {.capacity = capacity, .pool = kv_pool_.get()};
}

std::unique_ptr<Sharding> shard_model(int zero, Model& model,
                                      const std::vector<Parameter*>& parameters, Mesh& mesh,
                                      int64_t align, const FillParameter& fill) {
  std::map<const Parameter*, int> unit_of;
  int unit = 0;
  for (const std::vector<Parameter*>& members : model.units()) {
    for (const Parameter* parameter : members) unit_of[parameter] = unit;
    ++unit;
  }
  std::vector<int> units;
  for (const Parameter* parameter : parameters) {
    const auto found = unit_of.find(parameter);
    units.push_back(found == unit_of.end() ? unit : found->second);
  }
  std::unique_ptr<Sharding> sharding = make_sharding(zero, parameters, mesh, align, units, fill);
  model.set_sharding(sharding.get());
  return sharding;
}

void initialize(const ModelConfig& config, Parameter& parameter, uint64_t seed) {
  const at::NoGradGuard no_grad;
  if (parameter.value.dim() < 2) {
    // Gemma's norms add 1 to their weights.
    const double norm_weight = config.model_type.starts_with("gemma") ? 0 : 1;
    parameter.value.fill_(parameter.name.ends_with(".bias") ? 0 : norm_weight);
    return;
  }
  at::Tensor values = at::empty(parameter.whole_shape(), at::kFloat);
  fill_normal(values.mutable_data_ptr<float>(), values.numel(), config.initializer_range, seed,
              hash_name(parameter.name));
  parameter.value.copy_(part_of(values, parameter.cut));
}

void initialize(Model& model, uint64_t seed) {
  for (Parameter* parameter : model.parameters()) initialize(model.config(), *parameter, seed);
}

}  // namespace lathe
