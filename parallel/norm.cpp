#include "parallel/norm.h"

#include <ATen/Parallel.h>

#include <cmath>

namespace lathe {
namespace {

constexpr int64_t kBlock = 16384;
constexpr int kLanes = 16;

struct Block {
  const float* values;
  int64_t count;
};

double sum_of_squares(const Block& block) {
  // Independent lanes let the compiler use whole vectors. A float's square is exact in double, so a
  // fused multiply-add gives the same bits as the two operations.
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= block.count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = block.values[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (int lane = 0; i < block.count; ++i, ++lane) {
    const double value = block.values[i];
    lanes[lane] += value * value;
  }
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return sum;
}

double sum_of_squares_cpu(const std::vector<Slice>& slices) {
  std::vector<Block> blocks;
  for (const Slice& slice : slices) {
    for (const CutPiece& piece : slice.counted) {
      const float* values = slice.grad.const_data_ptr<float>() + piece.part;
      for (int64_t begin = 0; begin < piece.count; begin += kBlock) {
        blocks.push_back({values + begin, std::min(kBlock, piece.count - begin)});
      }
    }
  }
  std::vector<double> sums(blocks.size());
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 4, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) sums[i] = sum_of_squares(blocks[i]);
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

// One wait for the device, whatever the number of slices.
double sum_of_squares_elsewhere(const std::vector<Slice>& slices) {
  std::vector<at::Tensor> norms;
  for (const Slice& slice : slices) {
    for (const CutPiece& piece : slice.counted) {
      norms.push_back(at::linalg_vector_norm(slice.grad.narrow(0, piece.part, piece.count), 2,
                                             std::nullopt, false, at::kDouble));
    }
  }
  return norms.empty() ? 0 : at::stack(norms).square().sum().item<double>();
}

}  // namespace

double gradient_norm(Sharding& sharding, Mesh& mesh) {
  const at::NoGradGuard no_grad;
  const std::vector<Slice>& slices = sharding.slices();
  double sum =
      mesh.device().is_cpu() ? sum_of_squares_cpu(slices) : sum_of_squares_elsewhere(slices);
  at::Tensor total = at::full({1}, sum, at::TensorOptions(at::kDouble).device(mesh.device()));
  if (!sharding.replicated()) mesh.dp().all_reduce(total, Reduce::kSum);
  mesh.tp().all_reduce(total, Reduce::kSum);
  return std::sqrt(total.item<double>());
}

double clip_factor(double norm, double max_norm) {
  if (max_norm == 0) return 1;
  return std::min(1.0, max_norm / (norm + 1e-6));
}

}  // namespace lathe
