#include "parallel/mesh.h"

#include <fmt/format.h>

#include <cstdlib>

#include "parallel/logged_group.h"

namespace lathe {
namespace {

// Of the shapes that fit the world, the one with the smallest change to what was asked for.
MeshShape nearest(MeshShape asked, int ranks) {
  MeshShape best{ranks, 1};
  const auto change = [&](MeshShape shape) {
    return std::abs(shape.tp - asked.tp) + (asked.dp == 0 ? 0 : std::abs(shape.dp - asked.dp));
  };
  for (int tp = 1; tp <= ranks; ++tp) {
    if (ranks % tp == 0 && change({ranks / tp, tp}) < change(best)) best = {ranks / tp, tp};
  }
  return best;
}

MeshShape checked(MeshShape shape, int ranks) {
  const MeshShape asked = shape;
  if (shape.dp == 0 && shape.tp > 0) shape.dp = ranks / shape.tp;
  if (shape.dp > 0 && shape.tp > 0 && int64_t{shape.dp} * shape.tp == ranks) return shape;

  const MeshShape valid = nearest(asked, ranks);
  std::string found;
  if (asked.dp < 0 || asked.tp < 1) {
    found = fmt::format(
        "parallel.dp is {} and parallel.tp is {}, expected whole numbers above 0 (or dp: auto)",
        asked.dp, asked.tp);
  } else if (asked.dp == 0) {
    found = fmt::format("parallel.tp is {}, which does not divide the {} ranks", asked.tp, ranks);
  } else {
    found = fmt::format("parallel.dp x parallel.tp is {} x {} = {}, but there are {} ranks",
                        asked.dp, asked.tp, int64_t{asked.dp} * asked.tp, ranks);
  }
  throw std::invalid_argument(
      fmt::format("{}; the nearest shape that fits is dp={} tp={}", found, valid.dp, valid.tp));
}

}  // namespace

Mesh::Mesh(std::unique_ptr<Group> world, MeshShape shape) : world_(std::move(world)) {
  shape = checked(shape, world_->size());
  // Neighbours are most often on one host, and tp talks the most.
  tp_ = world_->split(world_->rank() / shape.tp);
  dp_ = world_->split(world_->rank() % shape.tp);
  name_axis(*tp_, "tp");
  name_axis(*dp_, "dp");
  if (!shape.overlap || dp_->size() == 1) return;
  std::unique_ptr<Group> own = dp_->split(0);
  note_beside(*own);
  beside_ = std::make_unique<Background>(std::move(own));
}

}  // namespace lathe
