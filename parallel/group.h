#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <stdexcept>
#include <string>

// A set of ranks that act together. Every rank makes the same calls in the same order. Tensors are
// contiguous and on device(); calls are ordered with that device's current stream. A failure, here
// or at a peer, throws on every rank (PeerLost at those that did not cause it). Ranks that do not
// make the same call get a std::logic_error that says so.
//
// Sums are made in rank order 0, 1, 2, ...: the same layout gives the same bits twice. float32,
// bfloat16 and float16 are summed in float32 and rounded once, float64 in float64, int32 and int64
// in int64. A NaN wins a maximum and a minimum. A group of one is a group.
namespace lathe {

enum class Reduce { kSum, kMax, kMin };

// Thrown at the ranks whose peer failed; the message says which rank and why, where that is known.
struct PeerLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Group {
 public:
  virtual ~Group() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual at::Device device() const = 0;

  // In place; the same bits on every rank.
  virtual void all_reduce(at::Tensor& tensor, Reduce op) = 0;
  // whole: size() equal parts, one per rank; slice: the sum over ranks of this rank's part. slice
  // may be that part of whole. What the other parts of whole hold afterwards is not said.
  virtual void reduce_scatter(const at::Tensor& whole, at::Tensor& slice) = 0;
  // whole: the ranks' slices one after another. slice may be this rank's part of whole.
  virtual void all_gather(const at::Tensor& slice, at::Tensor& whole) = 0;
  // In place: every rank ends with root's values.
  virtual void broadcast(at::Tensor& tensor, int root) = 0;
  virtual void barrier() = 0;

  // Ranks that pass the same color (0 or more) form a new group, ordered by their rank here.
  virtual std::unique_ptr<Group> split(int color) = 0;

  // From any thread: this rank makes no more calls, for this reason. A call that waits for its
  // peers throws PeerLost, as every later one does, here and at the peers where they can be told.
  virtual void abandon(const std::string& /*why*/) {}
};

}  // namespace lathe
