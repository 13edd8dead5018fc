#include "recipes/frozen_model.h"

namespace lathe {
namespace {

FrozenModel freeze(std::unique_ptr<Model> model, const FillParameter& fill,
                   const ParallelSection& config, Mesh& mesh) {
  FrozenModel frozen{.sharding = nullptr, .model = std::move(model)};
  for (Parameter* parameter : frozen.model->parameters()) {
    parameter->trained = false;
    parameter->value.requires_grad_(false);
  }
  // Below 3 only what training adds is cut.
  const int zero = config.zero == 3 ? 3 : 0;
  frozen.sharding =
      shard_model(zero, *frozen.model, frozen.model->parameters(), mesh, kBucketAlign, fill);
  return frozen;
}

}  // namespace

FrozenModel freeze_model(UnfilledModel opened, const ParallelSection& config, Mesh& mesh) {
  const auto fill = [&opened](Parameter& parameter) {
    opened.fill(parameter);
    return true;
  };
  return freeze(std::move(opened.model), fill, config, mesh);
}

FrozenModel freeze_model(std::unique_ptr<Model> model, const ParallelSection& config, Mesh& mesh) {
  return freeze(std::move(model), {}, config, mesh);
}

Group* meeting_of(const ParallelSection& config, Mesh& mesh) {
  return config.zero == 3 ? &mesh.dp() : nullptr;
}

}  // namespace lathe
