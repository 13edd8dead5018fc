#pragma once

#include <cstdint>
#include <vector>

// A mixture that changes on the way: stages with weights of their own, each beginning at a step.
namespace lathe {

struct Curriculum {
  // Where each stage begins, the first at 0: below 1 a share of all steps, else a step.
  std::vector<double> starts;                // empty: one stage without end
  std::vector<std::vector<double>> weights;  // by stage: one per data set
  // How long training is: that many epochs of the first stage, or max_steps where above 0.
  double num_train_epochs = 1;
  int64_t max_steps = 0;
};

// The first step of each stage. Throws std::invalid_argument where they do not begin with 0 and
// grow.
std::vector<int64_t> first_steps(const Curriculum& curriculum, int64_t steps_per_epoch);

}  // namespace lathe
