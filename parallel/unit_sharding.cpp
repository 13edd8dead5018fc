#include "parallel/buffer_pool.h"
#include "parallel/slices.h"
#include "parallel/unit_order.h"

namespace lathe {
namespace {

// A bucket of one unit, and what of it stays.
struct UnitBucket {
  Bucket bucket;
  at::Tensor value_slice, grad_slice;  // [n / dp]; grad_slice undefined where it is frozen
};

struct Unit {
  std::vector<UnitBucket> buckets;
  std::vector<Parameter*> trained;
  size_t first_slice = 0, num_slices = 0;
  bool in_use = false;       // its values are
  bool values_here = false;  // or on their way
  bool grads_here = false;
  int64_t values_piece = 0;  // that brings them
};

// ZeRO stages 2 and 3. Every dp rank owns an equal part of every bucket of every unit.
class UnitSharding final : public Sharding {
 public:
  UnitSharding(int zero, const std::vector<std::vector<Parameter*>>& units, Mesh& mesh,
               int64_t align, const FillParameter& fill)
      : cuts_values_(zero == 3), mesh_(mesh), dp_(mesh.dp()), beside_(mesh.beside()) {
    // One after another: never is more than one unit there twice.
    for (const std::vector<Parameter*>& parameters : units) add_unit(parameters, align, fill);
  }

  void begin_pass() override { forget_order(); }
  void begin_forward(int unit) override {
    const bool alone = !at::GradMode::is_enabled();
    use_values(unit, alone ? UnitUse::kForwardAlone : UnitUse::kForward);
  }
  void end_forward(int unit) override {
    units_.at(unit).in_use = false;
    if (unit != ahead_) drop_values(units_[unit]);
  }
  void begin_backward(int index, bool values) override {
    Unit& unit = units_.at(index);
    if (values) use_values(index, UnitUse::kBackward);
    if (unit.grads_here || unit.trained.empty()) return;
    if (summed_ == index) finish_sum();
    unit.grads_here = true;
    for (UnitBucket& each : unit.buckets) {
      if (!each.grad_slice.defined()) continue;
      pool_.reserve(each.bucket.grads);
      each.bucket.grads.zero_();
    }
  }
  void end_backward(int index) override {
    Unit& unit = units_.at(index);
    if (unit.grads_here) take_ ? sum_and_pass(unit, index) : sum_into_slices(unit, index);
    unit.in_use = false;
    if (ahead_ == index) ahead_ = kNone;
    drop_values(unit);
  }
  void finish_backward() override {
    for (int unit = num_units() - 1; unit >= 0; --unit) end_backward(unit);
    forget_order();
  }
  bool meets_in_passes() const override { return true; }
  int num_units() const override { return static_cast<int>(units_.size()); }

  void reduce_gradients() override {
    finish_backward();
    finish_sum();
  }
  std::vector<Slice>& slices() override { return slices_; }
  void gather_parameters() override {
    if (cuts_values_) return;
    for (Unit& unit : units_) {
      for (UnitBucket& each : unit.buckets) dp_.all_gather(each.value_slice, each.bucket.values);
    }
  }
  void zero_gradients() override {
    finish_sum();
    if (take_) return;
    for (Unit& unit : units_) {
      for (UnitBucket& each : unit.buckets) {
        if (each.grad_slice.defined()) each.grad_slice.zero_();
      }
    }
  }
  void zero_rest() override {}
  bool replicated() const override { return false; }

  void pass_gradients(std::function<void(int)> take) override {
    take_ = std::move(take);
    for (Unit& unit : units_) {
      std::vector<Slice> passing;
      for (UnitBucket& each : unit.buckets) {
        if (!each.grad_slice.defined()) continue;
        pool_.reserve(each.bucket.grads);  // views are made of what is there
        each.grad_slice = own_part(each);
        const int64_t begin = each.grad_slice.numel() * dp_.rank();
        add_slices(each.bucket, begin, begin + each.grad_slice.numel(), each.value_slice,
                   each.grad_slice, passing);
        pool_.release(each.bucket.grads);
      }
      std::move(passing.begin(), passing.end(), slices_.begin() + unit.first_slice);
    }
  }
  std::vector<Slice> slices_of(int index) const override {
    const Unit& unit = units_.at(index);
    const auto first = slices_.begin() + static_cast<std::ptrdiff_t>(unit.first_slice);
    return {first, first + static_cast<std::ptrdiff_t>(unit.num_slices)};
  }

 private:
  void add_unit(const std::vector<Parameter*>& parameters, int64_t align,
                const FillParameter& fill) {
    Unit& unit = units_.emplace_back();
    for (Parameter* parameter : parameters) {
      if (parameter->trained) unit.trained.push_back(parameter);
    }
    const int parts = dp_.size();
    unit.first_slice = slices_.size();
    for (Bucket& bucket : make_buckets(parameters, parts, mesh_.device(), align, fill)) {
      add_bucket(unit, std::move(bucket), true);
    }
    unit.num_slices = slices_.size() - unit.first_slice;
    if (!cuts_values_) {
      for (Parameter* parameter : parameters) {
        if (fill && !parameter->trained) fill(*parameter);
      }
      return;
    }
    for (Bucket& bucket : make_frozen_buckets(parameters, parts, mesh_.device(), align, fill)) {
      add_bucket(unit, std::move(bucket), false);
    }
  }

  void add_bucket(Unit& unit, Bucket bucket, bool trained) {
    const at::NoGradGuard no_grad;
    UnitBucket each{.bucket = std::move(bucket), .value_slice = {}, .grad_slice = {}};
    const int64_t count = each.bucket.values.numel() / dp_.size(), begin = count * dp_.rank();
    each.value_slice = each.bucket.values.narrow(0, begin, count);
    if (cuts_values_) {
      each.value_slice = each.value_slice.clone();
      pool_.expect(each.bucket.values);
      BufferPool::drop(each.bucket.values);
    }
    if (trained) {
      each.grad_slice = at::zeros({count}, each.bucket.grads.options());
      pool_.expect(each.bucket.grads);
      BufferPool::drop(each.bucket.grads);
      add_slices(each.bucket, begin, begin + count, each.value_slice, each.grad_slice, slices_);
    }
    unit.buckets.push_back(std::move(each));
  }

  // Beside the rank's own thread, where there is something beside it; else at once.
  int64_t give(std::function<void(Group&)> work) {
    if (beside_ != nullptr) return beside_->give(std::move(work));
    work(dp_);
    return 0;
  }
  void wait(int64_t piece) {
    if (beside_ != nullptr) beside_->wait(piece);
  }

  void use_values(int index, UnitUse use) {
    Unit& unit = units_.at(index);
    if (!cuts_values_ || unit.in_use) return;
    unit.in_use = true;
    if (ahead_ != index) drop_ahead();
    bring_values(unit);
    wait(unit.values_piece);
    ahead_ = kNone;
    if (beside_ == nullptr) return;
    const int next = order_.next_after(index, use);
    if (next == UnitOrder::kUnknown || (next != index && units_[next].in_use)) return;
    bring_values(units_[next]);
    ahead_ = next;
  }

  void bring_values(Unit& unit) {
    if (unit.values_here) return;
    unit.values_here = true;
    for (UnitBucket& each : unit.buckets) pool_.reserve(each.bucket.values);
    unit.values_piece = give([parts = parts_of_values(unit)](Group& dp) mutable {
      for (auto& [slice, whole] : parts) dp.all_gather(slice, whole);
    });
  }

  void drop_values(Unit& unit) {
    if (!unit.values_here) return;
    wait(unit.values_piece);
    unit.values_here = false;
    for (UnitBucket& each : unit.buckets) pool_.release(each.bucket.values);
  }

  // What came ahead of a use that did not come.
  void drop_ahead() {
    if (ahead_ != kNone && !units_[ahead_].in_use) drop_values(units_[ahead_]);
    ahead_ = kNone;
  }
  void forget_order() {
    drop_ahead();
    order_.begin_pass();
  }

  struct Part {
    at::Tensor slice, whole;
  };
  static std::vector<Part> parts_of_values(const Unit& unit) {
    std::vector<Part> parts;
    for (const UnitBucket& each : unit.buckets)
      parts.push_back({each.value_slice, each.bucket.values});
    return parts;
  }

  // What this rank owns of a bucket's gradients.
  at::Tensor own_part(const UnitBucket& each) const {
    const int64_t count = each.grad_slice.numel();
    return each.bucket.grads.narrow(0, count * dp_.rank(), count);
  }

  void sum_and_pass(Unit& unit, int index) {
    const at::NoGradGuard no_grad;
    unit.grads_here = false;
    sum_partial_gradients(unit.trained, mesh_.tp());
    for (UnitBucket& each : unit.buckets) {
      if (each.grad_slice.defined()) dp_.reduce_scatter(each.bucket.grads, each.grad_slice);
    }
    take_(index);
    for (UnitBucket& each : unit.buckets) {
      if (each.grad_slice.defined()) pool_.release(each.bucket.grads);
    }
  }

  // One unit's at a time: the gradients of two are there, those of the unit in backward too.
  void sum_into_slices(Unit& unit, int index) {
    const at::NoGradGuard no_grad;
    unit.grads_here = false;
    sum_partial_gradients(unit.trained, mesh_.tp());
    finish_sum();
    struct Sum {
      at::Tensor whole, own, slice;
    };
    std::vector<Sum> sums;
    for (const UnitBucket& each : unit.buckets) {
      if (each.grad_slice.defined())
        sums.push_back({each.bucket.grads, own_part(each), each.grad_slice});
    }
    sum_piece_ = give([sums](Group& dp) mutable {
      for (auto& [whole, own, slice] : sums) {
        dp.reduce_scatter(whole, own);
        slice.add_(own);
      }
    });
    summed_ = index;
    if (beside_ == nullptr) finish_sum();
  }

  void finish_sum() {
    if (summed_ == kNone) return;
    wait(sum_piece_);
    for (UnitBucket& each : units_[summed_].buckets) {
      if (each.grad_slice.defined()) pool_.release(each.bucket.grads);
    }
    summed_ = kNone;
  }

  static constexpr int kNone = -1;

  const bool cuts_values_;
  Mesh& mesh_;
  Group& dp_;
  Background* const beside_;  // null: there is nothing beside the rank's own thread
  UnitOrder order_;
  int ahead_ = kNone;   // the unit whose values came, or stay, before their next use
  int summed_ = kNone;  // the unit whose gradients are being summed, by this piece
  int64_t sum_piece_ = 0;
  BufferPool pool_;
  std::vector<Unit> units_;
  std::vector<Slice> slices_;
  std::function<void(int)> take_;
};

}  // namespace

std::unique_ptr<Sharding> make_unit_sharding(int zero, const std::vector<Parameter*>& parameters,
                                             Mesh& mesh, int64_t align,
                                             const std::vector<int>& units,
                                             const FillParameter& fill) {
  std::vector<std::vector<Parameter*>> members(1);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const int unit = units.empty() ? 0 : units.at(i);
    if (unit >= static_cast<int>(members.size())) members.resize(unit + 1);
    members[unit].push_back(parameters[i]);
  }
  return std::make_unique<UnitSharding>(zero, members, mesh, align, fill);
}

}  // namespace lathe
