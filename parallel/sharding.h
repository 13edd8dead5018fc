#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "parallel/buckets.h"
#include "parallel/mesh.h"
#include "parallel/parameter.h"

// Decides which slice of every parameter this rank owns, sums gradients into slices, spreads
// updated slices back.
//
//   backward (adds into Parameter.grad), finish_backward ... of each micro-batch;
//   reduce_gradients, update slices(), gather_parameters, zero_gradients
//
// Where a rank keeps less than everything, parameters come and go by units: those that the model
// uses together, as a block's. The model says when it does (parallel/unit_gate.h).
namespace lathe {

// A contiguous run of elements of one parameter, flattened in row-major order, that this rank
// updates.
struct Slice {
  std::string name;
  std::vector<int64_t> shape;  // of the parameter, as this rank of tp has it
  int64_t offset = 0;          // first element, in the flattened parameter
  at::Tensor value;            // [n] view of the parameter's values (its compute type)
  at::Tensor grad;             // [n] float32 view: after reduce_gradients, the sum over all ranks
  Cut cut = {};                // what the parameter is of the whole; no runs: all of it
  std::vector<CutPiece> counted = {};  // those of [0, n) that no other rank of tp counts
};

class Sharding {
 public:
  virtual ~Sharding() = default;
  // Sums the gradients over dp, and over tp where ranks hold summands; afterwards slices()[i].grad
  // is complete, and the gradients outside the slices are not to be read.
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

  // A unit's values are whole between the first two (and may be before and after); its gradients
  // may be added to between the last two, and its values are whole if they are asked for. A unit
  // that is begun again stays as it is. Collective where something has to come: all ranks use the
  // units in the same order.
  //
  // Where the mesh has a Background, sums go on beside the backward of the next unit, and the
  // values of the unit that will be used next, as it was before, come beside the use of this one.
  // So a unit more is there, and between begin_pass and the end of a pass values must not change.
  virtual void begin_pass() {}  // a forward from its beginning; also before anything else is read
  virtual void begin_forward(int /*unit*/) {}
  virtual void end_forward(int /*unit*/) {}
  virtual void begin_backward(int /*unit*/, bool /*values*/) {}
  virtual void end_backward(int /*unit*/) {}
  // A micro-batch's backward is done: ends what is not ended.
  virtual void finish_backward() {}
  // Whether the above are collective: then ranks without a target go through the model all the
  // same.
  virtual bool meets_in_passes() const { return false; }
  virtual int num_units() const { return 0; }

  // With 2 and 3: from now on no gradients are kept. take(unit) is called in the backward when the
  // unit's are complete; the gradients of slices_of(unit) can be read in that call only. For one
  // micro-batch a step. std::logic_error elsewhere.
  virtual void pass_gradients(std::function<void(int unit)> take);
  virtual std::vector<Slice> slices_of(int unit) const;
};

// zero 0: Replicated (every rank owns everything); 1: Zero1 (dp equal parts of the flat list of
// trained parameters); 2: gradients are summed into the slices unit by unit as backward goes, and
// only the slices stay; 3: of values also only slices stay, frozen ones included (Rajbhandari et
// al. 2020, arXiv:1910.02054). Moves the parameters' values into flat buffers, where existing
// handles to Parameter.value follow, and makes their float32 gradients, zeroed. Below 3 frozen
// parameters stay as they are; they have no slice. The mesh and the parameters must outlive the
// result; the parameters keep their addresses.
// `align`: every slice begins at a multiple of so many elements of its parameter. `units`: the
// unit of each parameter; empty: all are in unit 0. `fill`: called for each parameter that has no
// values yet, so that with 3 never more than a unit of them is there.
std::unique_ptr<Sharding> make_sharding(int zero, std::vector<Parameter*> parameters, Mesh& mesh,
                                        int64_t align = kBucketAlign, std::vector<int> units = {},
                                        const FillParameter& fill = {});

}  // namespace lathe
