#pragma once

#include "trainer/optimizer.h"

// What all optimisers share: masters, names of state, averages, rates and decay of each slice. A
// kind says how the slices move.
namespace lathe {

class SliceOptimizer : public Optimizer {
 public:
  // masters: keep float32 copies of values of another type.
  SliceOptimizer(const OptimizerConfig& config, Sharding& sharding, bool masters = true);

  bool update_if_finite(double gradient_norm, double clip_factor, double learning_rate) final;
  std::vector<StateSlice> state() final;
  int64_t updates() const final { return updates_; }
  void set_updates(int64_t updates) final { updates_ = updates; }
  void refresh_values() final;
  bool use_average() final;

 protected:
  // One update of one slice.
  struct Move {
    size_t index;
    at::Tensor master, grad;  // [n] float32; the gradient is clipped already
    double learning_rate, decay;
  };
  struct Update {
    double clip_factor, learning_rate;
    int64_t number;  // from 1
  };

  // Moves all masters, writes the values and zeroes the slices' gradients. Unless a kind does
  // better: one after another by move().
  virtual void update_all(const Update& update);
  virtual void move(const Move&, const Update&) {}
  // Packed state to and from the float32 copies of state(); pack() also when nothing was staged.
  virtual void stage(std::vector<std::vector<StateSlice>>&) {}
  virtual void unstage() {}

  // A state of zeros, of the slice's own run unless another shape is given (then it is whole).
  at::Tensor add_state(size_t slice, const std::string& kind, std::vector<int64_t> shape = {});
  StateSlice state_of(size_t slice, const std::string& kind, const at::Tensor& values) const;

  std::vector<Slice>& slices() const { return sharding_.slices(); }
  const at::Tensor& master(size_t slice) const { return masters_[slice]; }
  double rate_scale(size_t slice) const { return rate_scales_[slice]; }
  double decay(size_t slice) const { return decays_[slice]; }

  const OptimizerConfig config_;

 private:
  void add_slice(size_t index, bool masters);
  void update_averages();

  Sharding& sharding_;
  std::vector<at::Tensor> masters_;   // undefined: the value is all there is
  std::vector<at::Tensor> averages_;  // undefined: none are kept
  std::vector<double> rate_scales_, decays_;
  std::vector<std::vector<StateSlice>> states_;  // by slice
  std::vector<at::Tensor> staged_masters_;
  int64_t updates_ = 0;
};

}  // namespace lathe
