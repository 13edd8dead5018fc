#include "parallel/norm.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <mutex>
#include <set>

#include "parallel/local_group.h"
#include "tests/spawn.h"

namespace lathe {
namespace {

// More elements than a few blocks, and no multiple of anything.
constexpr int64_t kCount = 100003;

double norm_of(Mesh& mesh, int zero, const at::Tensor& gradient) {
  Parameter parameter{
      .name = "weight", .value = at::zeros(gradient.sizes()), .grad = {}, .trained = true};
  const std::unique_ptr<Sharding> sharding = make_sharding(zero, {&parameter}, mesh);
  // The sum over the ranks is then the gradient itself.
  if (mesh.dp().rank() == 0) parameter.grad.copy_(gradient);
  sharding->reduce_gradients();
  return gradient_norm(*sharding, mesh);
}

at::Tensor some_gradient() { return at::sin(at::arange(kCount, at::kFloat) * 0.37f) * 3; }

TEST(GradientNorm, IsTheRootOfTheSumOfSquares) {
  spawn_mesh(2, {}, [](Mesh& mesh) {
    for (int zero : {0, 1}) {
      EXPECT_EQ(norm_of(mesh, zero, at::tensor({3.0f, 4.0f})), 5);
      // A float32 sum would stop counting at 2^24.
      EXPECT_EQ(norm_of(mesh, zero, at::full({(1 << 24) + 9}, 1.0f)), std::sqrt((1 << 24) + 9));
    }
  });
}

TEST(GradientNorm, IsTheSameWhoeverOwnsTheSlices) {
  const double expected = at::linalg_vector_norm(some_gradient().to(at::kDouble)).item<double>();
  for (int ranks : {1, 2, 3, 4, 8}) {
    for (int zero : {0, 1}) {
      std::mutex mutex;
      std::set<double> norms;
      spawn_mesh(ranks, {}, [&](Mesh& mesh) {
        const double norm = norm_of(mesh, zero, some_gradient());
        const std::lock_guard lock(mutex);
        norms.insert(norm);
      });
      // Equal bits on every rank; between layouts only the order of float64 additions differs.
      ASSERT_EQ(norms.size(), 1u) << ranks << " ranks, zero " << zero;
      EXPECT_NEAR(*norms.begin() / expected, 1, 1e-13);
    }
  }
}

TEST(GradientNorm, DoesNotDependOnTheNumberOfThreads) {
  const int before = at::get_num_threads();
  std::set<double> norms;
  for (int threads : {1, 2, 3}) {
    Mesh mesh(solo_group(), {});
    at::set_num_threads(threads);
    norms.insert(norm_of(mesh, 0, some_gradient()));
  }
  at::set_num_threads(before);
  EXPECT_EQ(norms.size(), 1u);
}

TEST(GradientNorm, ShowsWhatIsNotFiniteToEveryRank) {
  spawn_mesh(3, {}, [](Mesh& mesh) {
    for (int zero : {0, 1}) {
      at::Tensor gradient = some_gradient();
      gradient[kCount - 1] = std::numeric_limits<float>::infinity();
      EXPECT_TRUE(std::isinf(norm_of(mesh, zero, gradient)));
      gradient[0] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_TRUE(std::isnan(norm_of(mesh, zero, gradient)));
      // The largest float32 is no overflow.
      EXPECT_TRUE(
          std::isfinite(norm_of(mesh, zero, at::full({100}, std::numeric_limits<float>::max()))));
    }
  });
}

TEST(ClipFactor, IsHuggingFaces) {
  EXPECT_EQ(clip_factor(0.5, 1), 1);
  EXPECT_EQ(clip_factor(0, 1), 1);
  EXPECT_EQ(clip_factor(4, 1), 1 / (4 + 1e-6));
  EXPECT_EQ(clip_factor(1, 1), 1 / (1 + 1e-6));
  EXPECT_EQ(clip_factor(1e30, 0), 1);
}

}  // namespace
}  // namespace lathe
