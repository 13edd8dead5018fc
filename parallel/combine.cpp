#include "parallel/combine.h"

#include <ATen/Parallel.h>

#include <stdexcept>

namespace lathe {
namespace {

// Small enough for the first-level cache, with the accumulators of every type.
constexpr int64_t kBlock = 1024;

struct Sum {
  template <class A>
  A operator()(A a, A b) const {
    return a + b;
  }
};
struct Max {
  template <class A>
  A operator()(A a, A b) const {
    return b > a || b != b ? b : a;
  }
};
struct Min {
  template <class A>
  A operator()(A a, A b) const {
    return b < a || b != b ? b : a;
  }
};

template <class T, class A, class Op>
void combine_block(Op op, std::span<const void* const> inputs, std::span<void* const> outputs,
                   int64_t begin, int64_t count) {
  A sums[kBlock];
  const T* first = static_cast<const T*>(inputs[0]) + begin;
  for (int64_t i = 0; i < count; ++i) sums[i] = static_cast<A>(first[i]);
  for (size_t rank = 1; rank < inputs.size(); ++rank) {
    const T* values = static_cast<const T*>(inputs[rank]) + begin;
    for (int64_t i = 0; i < count; ++i) sums[i] = op(sums[i], static_cast<A>(values[i]));
  }
  for (void* output : outputs) {
    T* values = static_cast<T*>(output) + begin;
    for (int64_t i = 0; i < count; ++i) values[i] = static_cast<T>(sums[i]);
  }
}

template <class T, class A, class Op>
void combine_all(Op op, std::span<const void* const> inputs, std::span<void* const> outputs,
                 int64_t count) {
  const int64_t num_blocks = (count + kBlock - 1) / kBlock;
  at::parallel_for(0, num_blocks, 16, [&](int64_t from, int64_t to) {
    for (int64_t block = from; block < to; ++block) {
      const int64_t begin = block * kBlock;
      combine_block<T, A>(op, inputs, outputs, begin, std::min(kBlock, count - begin));
    }
  });
}

template <class T, class A>
void combine_as(Reduce op, std::span<const void* const> inputs, std::span<void* const> outputs,
                int64_t count) {
  switch (op) {
    case Reduce::kSum:
      return combine_all<T, A>(Sum(), inputs, outputs, count);
    case Reduce::kMax:
      return combine_all<T, A>(Max(), inputs, outputs, count);
    case Reduce::kMin:
      return combine_all<T, A>(Min(), inputs, outputs, count);
  }
}

}  // namespace

void check_combinable(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
    case at::kBFloat16:
    case at::kHalf:
    case at::kDouble:
    case at::kInt:
    case at::kLong:
      return;
    default:
      throw std::invalid_argument(std::string("a reduction over ranks of type ") +
                                  c10::toString(type) +
                                  "; expected a floating type, int32 or int64");
  }
}

void combine(at::ScalarType type, Reduce op, std::span<const void* const> inputs,
             std::span<void* const> outputs, int64_t count) noexcept {
  switch (type) {
    case at::kFloat:
      return combine_as<float, float>(op, inputs, outputs, count);
    case at::kBFloat16:
      return combine_as<at::BFloat16, float>(op, inputs, outputs, count);
    case at::kHalf:
      return combine_as<at::Half, float>(op, inputs, outputs, count);
    case at::kDouble:
      return combine_as<double, double>(op, inputs, outputs, count);
    case at::kInt:
      return combine_as<int32_t, int64_t>(op, inputs, outputs, count);
    case at::kLong:
      return combine_as<int64_t, int64_t>(op, inputs, outputs, count);
    default:
      throw std::logic_error("combine: a type that check_combinable let through");
  }
}

}  // namespace lathe
