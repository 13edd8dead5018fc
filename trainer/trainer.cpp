#include "trainer/trainer.h"

#include <cmath>

#include "parallel/norm.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

// Adds to the parameters' gradients. A micro-batch without a target has nothing to add.
void backward(const at::Tensor& loss) {
  if (loss.requires_grad()) loss.backward();
}

// The name of a tensor whose gradient is not finite, the same on every rank.
std::string first_not_finite(Sharding& sharding, Group& group) {
  std::string name;
  for (const Slice& slice : sharding.slices()) {
    if (name.empty() && !at::isfinite(slice.grad).all().item<bool>()) name = slice.name;
  }
  for (const std::string& each : gather_bytes(group, name)) {
    if (!each.empty()) return each;
  }
  return "their sum";
}

}  // namespace

Trainer::Trainer(Parts parts, Options options)
    : parts_(std::move(parts)), options_(std::move(options)) {
  if (parts_.batches.steps_per_epoch < 1)
    throw std::invalid_argument("trainer: the data hold no step");
  if (!parts_.eval_objective) parts_.eval_objective = parts_.objective;
}

StepStats Trainer::step() {
  const std::vector<Batch> batches = take_batches();
  const Counts counts = count(batches);
  const double rate =
      options_.learning_rate * schedule_factor(options_.schedule, progress_.step, total_steps());
  if (counts.targets > 0) parts_.optimizer.begin_step(rate);
  // The loss stays on the device: no host wait per micro-batch.
  at::Tensor loss = at::zeros({}, parts_.mesh.device());
  parts_.model.set_noise(noise());
  for (const Batch& batch : batches) {
    const at::Tensor share = loss_of(parts_.objective, batch) / static_cast<double>(counts.targets);
    backward(share);
    parts_.sharding.finish_backward();
    loss += share.detach();
  }
  parts_.model.set_noise(std::nullopt);
  parts_.sharding.reduce_gradients();
  const double norm = measure_gradients();
  const double factor = clip_factor(norm, options_.max_grad_norm);
  // All ranks agree: counts and norm are the same everywhere.
  const bool applied = counts.targets > 0 && parts_.optimizer.update_if_finite(norm, factor, rate);
  parts_.sharding.gather_parameters();
  return finish_step(loss, norm, rate, counts, applied);
}

void Trainer::enter(Phase phase) {
  const bool of_next = phase == Phase::kData || phase == Phase::kStep;
  if (options_.log) options_.log->enter(phase, progress_.step + (of_next ? 1 : 0));
}

std::vector<Batch> Trainer::take_batches() {
  enter(Phase::kData);
  std::vector<Batch> batches = parts_.batches.next();
  enter(Phase::kStep);
  return batches;
}

StepNoise Trainer::noise() const {
  return {
      .seed = options_.seed, .step = progress_.step, .neftune_alpha = options_.neftune_noise_alpha};
}

Trainer::Counts Trainer::count(const std::vector<Batch>& batches) {
  std::vector<int64_t> counts{0, 0};
  for (const Batch& batch : batches) {
    counts[0] += batch.num_targets;
    counts[1] += batch.num_tokens();
  }
  counts = sum_over(parts_.mesh.dp(), counts);
  return {.targets = counts[0], .tokens = counts[1]};
}

at::Tensor Trainer::loss_of(const Objective& objective, const Batch& batch) {
  const at::Device device = parts_.mesh.device();
  if (batch.num_targets == 0 && !parts_.sharding.meets_in_passes()) return at::zeros({}, device);
  return objective(parts_.model, batch.to(device)).sum;
}

double Trainer::measure_gradients() {
  if (const std::optional<double> known = parts_.optimizer.gradient_norm()) {
    if (!std::isfinite(*known)) not_finite_ = "a block's (optimizer_in_bwd)";
    return *known;
  }
  const double norm = gradient_norm(parts_.sharding, parts_.mesh);
  if (!std::isfinite(norm)) not_finite_ = first_not_finite(parts_.sharding, parts_.mesh.world());
  return norm;
}

StepStats Trainer::finish_step(at::Tensor loss, double norm, double learning_rate, Counts counts,
                               bool applied) {
  parts_.mesh.dp().all_reduce(loss, Reduce::kSum);
  const StepStats stats{.loss = counts.targets > 0 ? loss.item<double>() : 0,
                        .grad_norm = norm,
                        .learning_rate = learning_rate,
                        .num_targets = counts.targets,
                        .num_tokens = counts.tokens,
                        .applied = applied};
  ++progress_.step;
  progress_.updates = parts_.optimizer.updates();
  progress_.num_tokens += counts.tokens;
  progress_.last_data = progress_.data;
  progress_.data = parts_.batches.state();
  if (applied && std::isfinite(stats.loss)) {
    progress_.run.add(stats.loss);
    progress_.since_log.add(stats.loss);
  }
  const bool broken = !applied && counts.targets > 0;
  progress_.skipped_in_a_row = broken ? progress_.skipped_in_a_row + 1 : 0;
  if (progress_.skipped_in_a_row == 1) progress_.bad_data = progress_.last_data;
  return stats;
}

double Trainer::evaluate() {
  if (!parts_.eval_batches) throw std::invalid_argument("trainer: there are no evaluation data");
  const at::NoGradGuard no_grad;
  enter(Phase::kEval);
  BatchSource& source = *parts_.eval_batches;
  source.seek({});
  at::Tensor sum =
      at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(parts_.mesh.device()));
  int64_t targets = 0;
  for (int64_t i = 0; i < source.steps_per_epoch; ++i) {
    const std::vector<Batch> batches = source.next();
    const bool told = options_.stop_requested && *options_.stop_requested;
    if (any(parts_.mesh.world(), told)) throw Stopped("an evaluation was stopped by a signal");
    for (const Batch& batch : batches) sum += loss_of(parts_.eval_objective, batch);
    targets += count(batches).targets;
  }
  parts_.mesh.dp().all_reduce(sum, Reduce::kSum);
  return targets > 0 ? sum.item<double>() / static_cast<double>(targets) : 0;
}

int64_t Trainer::total_steps() const {
  if (options_.train.max_steps > 0) return options_.train.max_steps;
  const double steps =
      options_.train.num_train_epochs * static_cast<double>(parts_.batches.steps_per_epoch);
  return static_cast<int64_t>(std::ceil(steps));
}

}  // namespace lathe
