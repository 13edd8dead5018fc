#pragma once

#include <map>
#include <string>
#include <vector>

#include "recipes/run_config.h"

// Whether the way a step is cut, and a stop in between, change what comes out: the same few steps
// of a config under several layouts, compared with the first.
namespace lathe {

struct ProofRun {
  std::string name;  // "2 ranks, 1 x 2 rows, zero 1"
  RunConfig config;
  bool stops = false;  // after the first step, then goes on from its checkpoint
};

// The runs, of which the first is the one that the others are compared with. output_dir is left to
// the caller. Nothing is evaluated or saved; every step is logged. The rows of a step are those of
// the config, rounded up to a multiple of 4.
std::vector<ProofRun> plan_proof(const RunConfig& config, int64_t steps);

// What a run left in its folder.
struct Outcome {
  std::vector<double> losses, gradient_norms;
  std::map<std::string, at::Tensor> weights;
};
Outcome read_outcome(const std::string& folder);

struct Differences {
  double loss = 0, gradient_norm = 0;  // the largest |a - b| / |a| of all steps
  double weights = 0;                  // |a - b| / |a| of all weights as one vector
  double largest() const;              // NaN counts as infinite
};
// std::runtime_error when the two have not the same steps and weights.
Differences compare(const Outcome& first, const Outcome& other);

// What rounding may do to any of the three. A resumed run has to be the same to the bit.
double proof_tolerance(at::ScalarType dtype, bool stops);

}  // namespace lathe
