#pragma once

#include <functional>

#include "parallel/mesh.h"
#include "parallel/world.h"

// Threads as ranks: body runs once per rank, each in its own thread, as under `mpirun -np ranks`.
//   spawn(4, [](Group& group) { ... });
//   spawn_mesh(4, {.dp = 2, .tp = 2}, [](Mesh& mesh) { ... });
// A body that throws makes its peers throw PeerLost, and spawn throws what it threw. EXPECT_ works
// in every rank; ASSERT_ leaves the body early, which its peers see as a lost rank.
namespace lathe {

inline void spawn(int ranks, const std::function<void(Group&)>& body) {
  WorldOptions options;
  options.backend = "local";
  options.ranks = ranks;
  run_world(options, [&](std::unique_ptr<Group> group) { body(*group); });
}

inline void spawn_mesh(int ranks, MeshShape shape, const std::function<void(Mesh&)>& body) {
  WorldOptions options;
  options.backend = "local";
  options.ranks = ranks;
  run_world(options, [&](std::unique_ptr<Group> group) {
    Mesh mesh(std::move(group), shape);
    body(mesh);
  });
}

}  // namespace lathe
