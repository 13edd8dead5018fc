#pragma once

#include <memory>
#include <vector>

#include "trainer/model.h"
#include "trainer/optimizer.h"

// TR-DPO (arXiv:2404.09656): every so many updates the reference takes a step towards the policy,
//   reference = alpha policy + (1 - alpha) reference.
// It stands around the optimiser, because the reference is then part of what a checkpoint must
// hold.
namespace lathe {

class MovingReference final : public Optimizer {
 public:
  // Policy and reference are of one kind and outlive this.
  MovingReference(std::unique_ptr<Optimizer> policy_optimizer, Model& policy, Model& reference,
                  double alpha, int64_t every);

  // Before a step, when the policy's weights are whole on every rank: once after each `every`
  // updates.
  void move_if_due();

  bool update_if_finite(double gradient_norm, double clip_factor, double learning_rate) override {
    return inner_->update_if_finite(gradient_norm, clip_factor, learning_rate);
  }
  std::vector<StateSlice> state() override;
  int64_t updates() const override { return inner_->updates(); }
  void set_updates(int64_t updates) override { inner_->set_updates(updates); }
  void refresh_values() override;
  bool use_average() override { return inner_->use_average(); }

 private:
  void write_reference();

  std::unique_ptr<Optimizer> inner_;
  Model& policy_;
  Model& reference_;
  double alpha_;
  int64_t every_, moved_at_ = 0;
  std::vector<at::Tensor> masters_;  // the reference in float32
};

}  // namespace lathe
