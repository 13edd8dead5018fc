#pragma once

#include <memory>

#include "parallel/group.h"

// The world cut along named axes. Ranks that stand next to each other in the world share a tp
// group; dp runs across them.
namespace lathe {

struct MeshShape {
  int dp = 0;  // 0: world size / tp
  int tp = 1;
};

class Mesh {
 public:
  // Throws std::invalid_argument that names the numbers and the nearest valid shape when dp x tp is
  // not the world's size.
  Mesh(std::unique_ptr<Group> world, MeshShape shape);

  Group& world() { return *world_; }
  Group& dp() { return *dp_; }
  Group& tp() { return *tp_; }
  at::Device device() const { return world_->device(); }

 private:
  std::unique_ptr<Group> world_, dp_, tp_;
};

}  // namespace lathe
