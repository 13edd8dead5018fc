#include "parallel/buckets.h"

#include <fmt/format.h>

#include <set>

namespace lathe {
namespace {

int64_t round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

void check(const std::vector<Parameter*>& parameters, at::Device device, bool trained) {
  std::set<std::string> names;
  std::set<const void*> tensors;
  for (const Parameter* parameter : parameters) {
    const auto refuse = [&](const std::string& why) {
      throw std::invalid_argument(fmt::format("parameter {}: {}", parameter->name, why));
    };
    const at::Tensor& value = parameter->value;
    if (!value.defined()) refuse("it has no value");
    if (!names.insert(parameter->name).second) refuse("the name is there twice");
    if (!tensors.insert(value.unsafeGetTensorImpl()).second)
      refuse("its tensor is another parameter's too");
    if (parameter->trained != trained) continue;
    if (value.device() != device) {
      refuse(fmt::format("it is on {}, the ranks are on {}", value.device().str(), device.str()));
    }
    if (!at::isFloatingType(value.scalar_type())) {
      refuse(fmt::format("type {} cannot be trained", c10::toString(value.scalar_type())));
    }
  }
}

Bucket& bucket_of(at::ScalarType type, std::vector<Bucket>& buckets,
                  std::vector<at::ScalarType>& types) {
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == type) return buckets[i];
  }
  types.push_back(type);
  return buckets.emplace_back();
}

void move_into(Bucket& bucket, int parts, int64_t align, const FillParameter& fill) {
  int64_t total = 0;
  for (const Parameter* parameter : bucket.parameters) {
    bucket.offsets.push_back(total);
    total += round_up(parameter->value.numel(), align);
  }
  total = round_up(total, parts * align);
  const at::TensorOptions options = bucket.parameters.front()->value.options().requires_grad(false);
  const bool trained = bucket.parameters.front()->trained;
  bucket.values = at::zeros({total}, options);
  if (trained) bucket.grads = at::zeros({total}, options.dtype(at::kFloat));
  for (size_t i = 0; i < bucket.parameters.size(); ++i) {
    Parameter& parameter = *bucket.parameters[i];
    const auto view = [&](const at::Tensor& flat) {
      return flat.narrow(0, bucket.offsets[i], parameter.value.numel())
          .view(parameter.value.sizes());
    };
    const at::Tensor home = view(bucket.values);
    const at::Tensor before = parameter.value.detach();
    // set_data, not assignment: the model's own handles to this tensor must see the new memory. The
    // old memory goes now, so that the model is never held twice.
    parameter.value.set_data(home);
    parameter.value.set_requires_grad(trained);
    if (!fill || !fill(parameter)) home.copy_(before);
    if (trained) parameter.grad = view(bucket.grads);
  }
}

std::vector<Bucket> make(const std::vector<Parameter*>& parameters, int parts, at::Device device,
                         int64_t align, bool trained, const FillParameter& fill) {
  check(parameters, device, trained);
  const at::NoGradGuard no_grad;
  std::vector<Bucket> buckets;
  std::vector<at::ScalarType> types;
  for (Parameter* parameter : parameters) {
    if (parameter->trained == trained) {
      bucket_of(parameter->value.scalar_type(), buckets, types).parameters.push_back(parameter);
    }
  }
  for (Bucket& bucket : buckets) move_into(bucket, parts, align, fill);
  return buckets;
}

}  // namespace

std::vector<Bucket> make_buckets(const std::vector<Parameter*>& parameters, int parts,
                                 at::Device device, int64_t align, const FillParameter& fill) {
  return make(parameters, parts, device, align, true, fill);
}

std::vector<Bucket> make_frozen_buckets(const std::vector<Parameter*>& parameters, int parts,
                                        at::Device device, int64_t align,
                                        const FillParameter& fill) {
  return make(parameters, parts, device, align, false, fill);
}

}  // namespace lathe
