#include "recipes/moving_reference.h"

namespace lathe {

MovingReference::MovingReference(std::unique_ptr<Optimizer> policy_optimizer, Model& policy,
                                 Model& reference, double alpha, int64_t every)
    : inner_(std::move(policy_optimizer)),
      policy_(policy),
      reference_(reference),
      alpha_(alpha),
      every_(every) {
  for (const Parameter* parameter : reference_.parameters())
    masters_.push_back(parameter->value.detach().to(at::kFloat).clone());
}

void MovingReference::move_if_due() {
  const int64_t updates = inner_->updates();
  if (updates == 0 || updates % every_ != 0 || updates == moved_at_) return;
  moved_at_ = updates;
  const at::NoGradGuard no_grad;
  const std::vector<Parameter*> policy = policy_.parameters();
  for (size_t i = 0; i < masters_.size(); ++i)
    masters_[i].mul_(1 - alpha_).add_(policy[i]->value.detach().to(at::kFloat), alpha_);
  write_reference();
}

std::vector<StateSlice> MovingReference::state() {
  std::vector<StateSlice> slices = inner_->state();
  const std::vector<Parameter*> parameters = reference_.parameters();
  for (size_t i = 0; i < masters_.size(); ++i)
    slices.push_back(
        {"reference/" + parameters[i]->name, masters_[i].sizes().vec(), 0, masters_[i].flatten()});
  return slices;
}

void MovingReference::refresh_values() {
  inner_->refresh_values();
  write_reference();
}

void MovingReference::write_reference() {
  const at::NoGradGuard no_grad;
  const std::vector<Parameter*> parameters = reference_.parameters();
  for (size_t i = 0; i < masters_.size(); ++i) parameters[i]->value.copy_(masters_[i]);
}

}  // namespace lathe
