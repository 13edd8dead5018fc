#pragma once

#include <memory>

#include "parallel/background.h"
#include "parallel/group.h"

// The world cut along named axes. Ranks that stand next to each other in the world share a tp
// group; dp runs across them.
namespace lathe {

struct MeshShape {
  int dp = 0;  // 0: world size / tp
  int tp = 1;
  bool overlap = false;  // what can be is done beside the passes
};

class Mesh {
 public:
  // Throws std::invalid_argument that names the numbers and the nearest valid shape when dp x tp is
  // not the world's size.
  Mesh(std::unique_ptr<Group> world, MeshShape shape);

  Group& world() { return *world_; }
  Group& dp() { return *dp_; }
  Group& tp() { return *tp_; }
  // Works over dp; null where the rank's own thread does everything.
  Background* beside() { return beside_.get(); }
  at::Device device() const { return world_->device(); }

 private:
  std::unique_ptr<Group> world_, dp_, tp_;
  std::unique_ptr<Background> beside_;
};

}  // namespace lathe
