#include "parallel/sharding.h"

#include "parallel/buckets.h"

namespace lathe {
namespace {

// The slices of the elements [begin, end) of a bucket.
void add_slices(const Bucket& bucket, int64_t begin, int64_t end, std::vector<Slice>& slices) {
  for (size_t i = 0; i < bucket.parameters.size(); ++i) {
    const Parameter& parameter = *bucket.parameters[i];
    const int64_t offset = bucket.offsets[i];
    const int64_t from = std::max(begin, offset);
    const int64_t to = std::min(end, offset + parameter.value.numel());
    if (from >= to) continue;
    slices.push_back({.name = parameter.name,
                      .shape = parameter.value.sizes().vec(),
                      .offset = from - offset,
                      .value = bucket.values.slice(0, from, to),
                      .grad = bucket.grads.slice(0, from, to)});
  }
}

void set_to_zero(std::vector<Bucket>& buckets) {
  for (Bucket& bucket : buckets) bucket.grads.zero_();
}

// Every rank owns everything and makes the same update.
class Replicated final : public Sharding {
 public:
  Replicated(std::vector<Bucket> buckets, Group& dp) : buckets_(std::move(buckets)), dp_(dp) {
    for (const Bucket& bucket : buckets_) add_slices(bucket, 0, bucket.values.numel(), slices_);
  }
  void reduce_gradients() override {
    for (Bucket& bucket : buckets_) dp_.all_reduce(bucket.grads, Reduce::kSum);
  }
  std::vector<Slice>& slices() override { return slices_; }
  void gather_parameters() override {}
  void zero_gradients() override { set_to_zero(buckets_); }
  void zero_rest() override {}
  bool replicated() const override { return true; }

 private:
  std::vector<Bucket> buckets_;
  Group& dp_;
  std::vector<Slice> slices_;
};

// ZeRO stage 1 (Rajbhandari et al., 2020, arXiv:1910.02054): each dp rank updates one equal part of
// every bucket.
class Zero1 final : public Sharding {
 public:
  Zero1(std::vector<Bucket> buckets, Group& dp) : buckets_(std::move(buckets)), dp_(dp) {
    for (const Bucket& bucket : buckets_) {
      const int64_t part = bucket.values.numel() / dp_.size();
      add_slices(bucket, part * dp_.rank(), part * (dp_.rank() + 1), slices_);
    }
  }
  void reduce_gradients() override {
    for (Bucket& bucket : buckets_) {
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
  Group& dp_;
  std::vector<Slice> slices_;
};

}  // namespace

std::unique_ptr<Sharding> make_sharding(int zero, std::vector<Parameter*> parameters, Mesh& mesh,
                                        int64_t align) {
  if (zero != 0 && zero != 1) {
    throw std::invalid_argument(
        "parallel.zero is " + std::to_string(zero) +
        ", expected 0 (every rank holds all optimiser state) or 1 (split over dp)");
  }
  std::vector<Bucket> buckets = make_buckets(parameters, mesh.dp().size(), mesh.device(), align);
  if (zero == 0) return std::make_unique<Replicated>(std::move(buckets), mesh.dp());
  return std::make_unique<Zero1>(std::move(buckets), mesh.dp());
}

}  // namespace lathe
