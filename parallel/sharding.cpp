#include "parallel/sharding.h"

#include "parallel/slices.h"

namespace lathe {
namespace {

void set_to_zero(std::vector<Bucket>& buckets) {
  for (Bucket& bucket : buckets) bucket.grads.zero_();
}

// Every rank owns everything and makes the same update.
class Replicated final : public Sharding {
 public:
  Replicated(std::vector<Bucket> buckets, Mesh& mesh) : buckets_(std::move(buckets)), mesh_(mesh) {
    for (const Bucket& bucket : buckets_) {
      add_slices(bucket, 0, bucket.values.numel(), bucket.values, bucket.grads, slices_);
    }
  }
  void reduce_gradients() override {
    for (Bucket& bucket : buckets_) {
      sum_partial_gradients(bucket.parameters, mesh_.tp());
      mesh_.dp().all_reduce(bucket.grads, Reduce::kSum);
    }
  }
  std::vector<Slice>& slices() override { return slices_; }
  void gather_parameters() override {}
  void zero_gradients() override { set_to_zero(buckets_); }
  void zero_rest() override {}
  bool replicated() const override { return true; }

 private:
  std::vector<Bucket> buckets_;
  Mesh& mesh_;
  std::vector<Slice> slices_;
};

// ZeRO stage 1 (Rajbhandari et al., 2020, arXiv:1910.02054): each dp rank updates one equal part of
// every bucket.
class Zero1 final : public Sharding {
 public:
  Zero1(std::vector<Bucket> buckets, Mesh& mesh)
      : buckets_(std::move(buckets)), tp_(mesh.tp()), dp_(mesh.dp()) {
    for (const Bucket& bucket : buckets_) {
      const int64_t count = bucket.values.numel() / dp_.size(), begin = count * dp_.rank();
      add_slices(bucket, begin, begin + count, part(bucket.values), part(bucket.grads), slices_);
    }
  }
  void reduce_gradients() override {
    for (Bucket& bucket : buckets_) {
      sum_partial_gradients(bucket.parameters, tp_);
      at::Tensor mine = part(bucket.grads);
      dp_.reduce_scatter(bucket.grads, mine);
    }
  }
  std::vector<Slice>& slices() override { return slices_; }
  void gather_parameters() override {
    for (Bucket& bucket : buckets_) dp_.all_gather(part(bucket.values), bucket.values);
  }
  void zero_gradients() override { set_to_zero(buckets_); }
  void zero_rest() override {
    for (Bucket& bucket : buckets_) {
      const int64_t count = bucket.grads.numel() / dp_.size(), begin = count * dp_.rank();
      bucket.grads.narrow(0, 0, begin).zero_();
      bucket.grads.slice(0, begin + count).zero_();
    }
  }
  bool replicated() const override { return false; }

 private:
  at::Tensor part(const at::Tensor& flat) const {
    const int64_t count = flat.numel() / dp_.size();
    return flat.narrow(0, count * dp_.rank(), count);
  }

  std::vector<Bucket> buckets_;
  Group &tp_, &dp_;
  std::vector<Slice> slices_;
};

}  // namespace

void Sharding::pass_gradients(std::function<void(int)>) {
  throw std::logic_error("sharding: gradients come whole, not by units");
}
std::vector<Slice> Sharding::slices_of(int) const {
  throw std::logic_error("sharding: there are no units");
}

std::unique_ptr<Sharding> make_sharding(int zero, std::vector<Parameter*> parameters, Mesh& mesh,
                                        int64_t align, std::vector<int> units,
                                        const FillParameter& fill) {
  if (zero < 0 || zero > 3) {
    throw std::invalid_argument(
        "parallel.zero is " + std::to_string(zero) +
        ", expected 0 (every rank holds everything), or what is split over dp: 1 (optimiser "
        "state), 2 (gradients too), 3 (weights too)");
  }
  if (zero >= 2) return make_unit_sharding(zero, parameters, mesh, align, units, fill);
  for (Parameter* parameter : parameters) {
    if (fill) fill(*parameter);
  }
  std::vector<Bucket> buckets = make_buckets(parameters, mesh.dp().size(), mesh.device(), align);
  if (zero == 0) return std::make_unique<Replicated>(std::move(buckets), mesh);
  return std::make_unique<Zero1>(std::move(buckets), mesh);
}

}  // namespace lathe
