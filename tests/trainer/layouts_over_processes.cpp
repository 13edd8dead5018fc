#include <ATen/Parallel.h>

#include "tests/parallel/backends.h"
#include "tests/trainer/layouts.h"

// layouts_test.cpp with the processes of mpirun as ranks.
namespace lathe {
namespace {

using Kind = Trained::Kind;

// All that have as many ranks as there are processes.
std::vector<Layout> layouts_of(int ranks) {
  std::vector<Layout> layouts;
  for (const int tp : {1, 2, 4}) {
    if (ranks % tp != 0) continue;
    for (const int zero : {0, 1, 2, 3}) {
      layouts.push_back({ranks / tp, tp, zero, zero % 2 == 1, zero < 2 ? 1 : 4});
    }
  }
  return layouts;
}

class LayoutsOverProcesses : public testing::TestWithParam<Backend> {};

INSTANTIATE_TEST_SUITE_P(Backends, LayoutsOverProcesses, testing::ValuesIn(backends()),
                         [](const auto& info) { return info.param.name; });

TEST_P(LayoutsOverProcesses, EqualOneRankAndThemselves) {
  const std::vector<Trained> all{{"gemma2"}, {"qwen3", Kind::kLora}};
  int compared = 0;
  GetParam().run([&](std::unique_ptr<Group> world) {
    at::set_num_threads(1);
    for (const Trained& trained : all) {
      const LayoutOutcome expected = outcome_of(trained, {});
      for (const Layout& layout : layouts_of(world->size())) {
        SCOPED_TRACE(trained.text() + ": " + layout.text());
        Mesh mesh(world->split(0), {.dp = layout.dp, .tp = layout.tp});
        const LayoutOutcome outcome = train_under(trained, layout, mesh);
        if (world->rank() == 0) expect_close(outcome, expected);
        ++compared;
        // Twice where most is cut.
        if (layout.zero < 3 || trained.kind == Kind::kFull) continue;
        EXPECT_EQ(outcome.losses, train_under(trained, layout, mesh).losses);
      }
    }
  });
  EXPECT_GE(compared, 2 * 4);
}

TEST_P(LayoutsOverProcesses, GiveTheSameBitsWithOverlap) {
  int compared = 0;
  GetParam().run([&](std::unique_ptr<Group> world) {
    at::set_num_threads(1);
    for (const Trained& trained : {Trained{"gemma2"}, Trained{"qwen3", Kind::kLora}}) {
      for (Layout layout : layouts_of(world->size())) {
        if (layout.zero < 2 || layout.dp == 1) continue;
        SCOPED_TRACE(trained.text() + ": " + layout.text());
        std::vector<LayoutOutcome> outcomes;
        for (const bool overlap : {false, true}) {
          layout.overlap = overlap;
          Mesh mesh(world->split(0), layout.shape());
          outcomes.push_back(train_under(trained, layout, mesh, 4));
        }
        expect_same_bits(outcomes[0], outcomes[1]);
        ++compared;
      }
    }
  });
  EXPECT_GE(compared, 2 * 2);
}

}  // namespace
}  // namespace lathe
