#include "parallel/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/spawn.h"

namespace lathe {
namespace {

std::string mesh_error(int ranks, MeshShape shape) {
  try {
    spawn_mesh(ranks, shape, [](Mesh&) {});
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(Mesh, NeighboursShareTpAndDpRunsAcross) {
  spawn_mesh(6, {.dp = 3, .tp = 2}, [](Mesh& mesh) {
    const int rank = mesh.world().rank();
    EXPECT_EQ(mesh.world().size(), 6);
    EXPECT_EQ(mesh.tp().size(), 2);
    EXPECT_EQ(mesh.dp().size(), 3);
    EXPECT_EQ(mesh.tp().rank(), rank % 2);
    EXPECT_EQ(mesh.dp().rank(), rank / 2);
    at::Tensor sum = at::full({1}, rank, at::kLong);
    mesh.dp().all_reduce(sum, Reduce::kSum);
    EXPECT_EQ(sum.item<int64_t>(), rank % 2 == 0 ? 0 + 2 + 4 : 1 + 3 + 5);
  });
}

TEST(Mesh, DpIsWhatTpLeaves) {
  spawn_mesh(4, {.dp = 0, .tp = 2}, [](Mesh& mesh) { EXPECT_EQ(mesh.dp().size(), 2); });
  spawn_mesh(3, {}, [](Mesh& mesh) {
    EXPECT_EQ(mesh.dp().size(), 3);
    EXPECT_EQ(mesh.tp().size(), 1);
  });
  spawn_mesh(1, {}, [](Mesh& mesh) { EXPECT_EQ(mesh.dp().size(), 1); });
}

TEST(Mesh, SaysWhichShapeWouldFit) {
  EXPECT_EQ(mesh_error(4, {.dp = 3, .tp = 2}),
            "parallel.dp x parallel.tp is 3 x 2 = 6, but there are 4 ranks; the nearest shape that "
            "fits is dp=2 tp=2");
  EXPECT_EQ(mesh_error(6, {.dp = 0, .tp = 4}),
            "parallel.tp is 4, which does not divide the 6 ranks; the nearest shape that fits is "
            "dp=2 tp=3");
  EXPECT_EQ(mesh_error(2, {.dp = 0, .tp = 16}),
            "parallel.tp is 16, which does not divide the 2 ranks; the nearest shape that fits is "
            "dp=1 tp=2");
  EXPECT_EQ(mesh_error(1, {.dp = 2, .tp = 1}),
            "parallel.dp x parallel.tp is 2 x 1 = 2, but there are 1 ranks; the nearest shape that "
            "fits is dp=1 tp=1");
  EXPECT_EQ(mesh_error(4, {.dp = -1, .tp = 0}),
            "parallel.dp is -1 and parallel.tp is 0, expected whole numbers above 0 (or dp: auto); "
            "the nearest shape that "
            "fits is dp=2 tp=2");
  EXPECT_EQ(mesh_error(2, {.dp = 65536, .tp = 65536}),
            "parallel.dp x parallel.tp is 65536 x 65536 = 4294967296, but there are 2 ranks; the "
            "nearest shape that fits "
            "is dp=2 tp=1");
}

}  // namespace
}  // namespace lathe
