#include "trainer/backward_optimizer.h"

#include <cmath>
#include <stdexcept>

#include "parallel/norm.h"

namespace lathe {
namespace {

// One unit of a sharding, as an optimiser sees it.
class UnitView final : public Sharding {
 public:
  explicit UnitView(std::vector<Slice> slices) : slices_(std::move(slices)) {}
  void reduce_gradients() override {}
  std::vector<Slice>& slices() override { return slices_; }
  void gather_parameters() override {}
  void zero_gradients() override {}  // they are passing
  void zero_rest() override {}
  bool replicated() const override { return false; }

 private:
  std::vector<Slice> slices_;
};

class BackwardOptimizer final : public Optimizer {
 public:
  BackwardOptimizer(const OptimizerConfig& config, Sharding& sharding, Mesh& mesh) : mesh_(mesh) {
    sharding.pass_gradients([this](int unit) { take(unit); });
    for (int unit = 0; unit < sharding.num_units(); ++unit) {
      views_.push_back(std::make_unique<UnitView>(sharding.slices_of(unit)));
      units_.push_back(make_optimizer(config, *views_.back()));
    }
  }

  void begin_step(double learning_rate) override {
    learning_rate_ = learning_rate;
    squares_ = 0;
    taken_.assign(units_.size(), false);
  }
  std::optional<double> gradient_norm() const override { return std::sqrt(squares_); }
  bool update_if_finite(double norm, double, double) override {
    learning_rate_.reset();
    squares_ = 0;
    if (std::isfinite(norm)) ++updates_;
    // Units whose gradients were not finite count as the others do.
    for (const auto& unit : units_) unit->set_updates(updates_);
    return std::isfinite(norm);
  }

  std::vector<StateSlice> state() override {
    std::vector<StateSlice> all;
    for (const auto& unit : units_) {
      for (StateSlice& each : unit->state()) all.push_back(std::move(each));
    }
    return all;
  }
  int64_t updates() const override { return updates_; }
  void set_updates(int64_t updates) override {
    updates_ = updates;
    for (const auto& unit : units_) unit->set_updates(updates);
  }
  void refresh_values() override {
    for (const auto& unit : units_) unit->refresh_values();
  }
  bool use_average() override {
    bool any = false;
    for (const auto& unit : units_) any = unit->use_average() || any;
    return any;
  }

 private:
  // Collective, in the same order on all ranks: a unit is updated on all of them or on none.
  void take(int index) {
    if (!learning_rate_) return;  // a step without a target
    const auto unit = static_cast<size_t>(index);
    if (taken_[unit]) throw std::logic_error("optimizer_in_bwd: a unit came twice in one step");
    taken_[unit] = true;
    const double norm = lathe::gradient_norm(*views_[unit], mesh_);
    squares_ += norm * norm;
    units_[unit]->update_if_finite(norm, 1, *learning_rate_);
  }

  Mesh& mesh_;
  std::vector<std::unique_ptr<UnitView>> views_;
  std::vector<std::unique_ptr<Optimizer>> units_;
  std::optional<double> learning_rate_;  // of the step that is going on
  double squares_ = 0;
  std::vector<bool> taken_;
  int64_t updates_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> make_backward_optimizer(const OptimizerConfig& config,
                                                   Sharding& sharding, Mesh& mesh) {
  return std::make_unique<BackwardOptimizer>(config, sharding, mesh);
}

}  // namespace lathe
