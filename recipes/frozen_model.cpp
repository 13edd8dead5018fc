#include "recipes/frozen_model.h"

namespace lathe {

FrozenModel freeze_model(UnfilledModel opened, const ParallelSection& config, Mesh& mesh) {
  FrozenModel frozen{.sharding = nullptr, .model = std::move(opened.model)};
  for (Parameter* parameter : frozen.model->parameters()) {
    parameter->trained = false;
    parameter->value.requires_grad_(false);
  }
  // Below 3 only what training adds is cut.
  const int zero = config.zero == 3 ? 3 : 0;
  const auto fill = [&opened](Parameter& parameter) {
    opened.fill(parameter);
    return true;
  };
  frozen.sharding =
      shard_model(zero, *frozen.model, frozen.model->parameters(), mesh, kBucketAlign, fill);
  return frozen;
}

Group* meeting_of(const ParallelSection& config, Mesh& mesh) {
  return config.zero == 3 ? &mesh.dp() : nullptr;
}

}  // namespace lathe
