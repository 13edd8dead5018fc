#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "parallel/buckets.h"
#include "parallel/mesh.h"
#include "parallel/parameter.h"

// Decides which slice of every parameter this rank owns, sums gradients into slices, spreads
// updated slices back.
//
//   backward (adds into Parameter.grad) ... reduce_gradients, update slices(), gather_parameters,
//   zero_gradients
namespace lathe {

// A contiguous run of elements of one parameter, flattened in row-major order, that this rank
// updates.
struct Slice {
  std::string name;
  std::vector<int64_t> shape;  // of the whole parameter
  int64_t offset = 0;          // first element, in the flattened parameter
  at::Tensor value;            // [n] view of the parameter's values (its compute type)
  at::Tensor grad;             // [n] float32 view: after reduce_gradients, the sum over all ranks
};

class Sharding {
 public:
  virtual ~Sharding() = default;
  // Sums the gradients over dp; afterwards slices()[i].grad is complete, and the gradients outside
  // the slices are not to be read.
  virtual void reduce_gradients() = 0;
  // In the parameters' order within each compute type; never empty runs.
  virtual std::vector<Slice>& slices() = 0;
  // Every rank's parameters hold every rank's updated slices.
  virtual void gather_parameters() = 0;
  // Sets all gradients to zero, also those outside the slices.
  virtual void zero_gradients() = 0;
  // Sets to zero the gradients outside the slices: what is left to do where the update zeroed its
  // own.
  virtual void zero_rest() = 0;
  // True where this rank's slices are also held by other dp ranks (Replicated): norms must not
  // count them twice.
  virtual bool replicated() const = 0;
};

// zero 0: Replicated (every rank owns everything); 1: Zero1 (dp equal parts of the flat list of
// trained parameters). Moves the trained parameters' values into one flat buffer per type, where
// existing handles to Parameter.value follow, and makes their float32 gradients, zeroed. Frozen
// parameters stay as they are and have no slice. The mesh and the parameters must outlive the
// result; the parameters keep their addresses.
// `align`: every slice begins at a multiple of so many elements of its parameter.
std::unique_ptr<Sharding> make_sharding(int zero, std::vector<Parameter*> parameters, Mesh& mesh,
                                        int64_t align = kBucketAlign);

}  // namespace lathe
