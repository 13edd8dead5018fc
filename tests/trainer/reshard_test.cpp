#include <filesystem>

#include "tests/temp_folder.h"
#include "tests/trainer/layouts.h"

// Checkpoints of any layout, loaded on any other.
namespace lathe {
namespace {

using Kind = Trained::Kind;

const std::vector<Layout> kLayouts{
    {.dp = 1, .tp = 1, .zero = 0}, {.dp = 4, .tp = 1, .zero = 1, .accumulation = 2},
    {.dp = 1, .tp = 4, .zero = 0}, {.dp = 2, .tp = 2, .zero = 3},
    {.dp = 2, .tp = 1, .zero = 2}, {.dp = 1, .tp = 2, .zero = 1, .sequence = false},
};

std::string only_checkpoint(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    found.push_back(entry.path().string());
  EXPECT_EQ(found.size(), 1u) << folder;
  return found.at(0);
}

// Into the optimiser, and out again as another checkpoint.
void carry_over(const Trained& trained, const Layout& layout, const std::string& from,
                const std::string& to) {
  on_layout(layout, [&](Mesh& mesh) {
    LayoutRun run(trained, layout, mesh);
    Checkpoint(only_checkpoint(from), mesh.world()).fill(run.optimizer->state());
    run.optimizer->refresh_values();
    run.sharding->gather_parameters();
    save_checkpoint(to, 1, mesh, run.optimizer->state(), "{}");
  });
}

void save_after_a_step(const Trained& trained, const Layout& layout, const std::string& folder) {
  on_layout(layout, [&](Mesh& mesh) {
    LayoutRun run(trained, layout, mesh);
    run.trainer->step();
    save_checkpoint(folder, 1, mesh, run.optimizer->state(), "{}");
  });
}

// The state of one rank, by name.
std::map<std::string, at::Tensor> whole_state(const Trained& trained, const std::string& folder) {
  std::map<std::string, at::Tensor> result;
  on_layout({}, [&](Mesh& mesh) {
    LayoutRun run(trained, {}, mesh);
    const std::vector<StateSlice> state = run.optimizer->state();
    Checkpoint(only_checkpoint(folder), mesh.world()).fill(state);
    for (const StateSlice& slice : state) result[slice.name] = slice.values.clone();
  });
  return result;
}

TEST(Reshard, ThereAndBackGivesTheSameBits) {
  for (const Trained& trained : {Trained{"gemma2"}, Trained{"qwen3", Kind::kDora},
                                 Trained{"phi3", Kind::kFull, R"(, "pad_token_id": 0)"}}) {
    int compared = 0;
    for (size_t i = 0; i < kLayouts.size(); ++i) {
      const Layout &here = kLayouts[i], &there = kLayouts[(i + 1) % kLayouts.size()];
      SCOPED_TRACE(trained.text() + ": " + here.text() + " -> " + there.text());
      const TempFolder first, second, third;
      save_after_a_step(trained, here, first.path());
      carry_over(trained, there, first.path(), second.path());
      carry_over(trained, here, second.path(), third.path());
      const auto before = whole_state(trained, first.path()),
                 after = whole_state(trained, third.path());
      ASSERT_EQ(before.size(), after.size());
      for (const auto& [name, values] : before) {
        EXPECT_TRUE(at::equal(values, after.at(name))) << name;
        ++compared;
      }
    }
    EXPECT_GT(compared, 100);
  }
}

TEST(Reshard, ARunGoesOnUnderAnotherLayoutAsIfItHadNotStopped) {
  for (const Trained& trained : {Trained{"llama"}, Trained{"qwen3", Kind::kLora}}) {
    LayoutOutcome expected = outcome_of(trained, {});
    for (size_t i = 0; i < kLayouts.size(); ++i) {
      const Layout &here = kLayouts[i], &there = kLayouts[(i + 2) % kLayouts.size()];
      SCOPED_TRACE(trained.text() + ": " + here.text() + " -> " + there.text());
      const TempFolder folder;
      const auto run_to = [&](const Layout& layout, int64_t steps) {
        LayoutOutcome outcome;
        on_layout(layout, [&](Mesh& mesh) {
          Trainer::Options options{.output_dir = folder.path()};
          options.train.save_steps = steps;
          options.train.max_steps = steps;
          LayoutRun run(trained, layout, mesh, options);
          EXPECT_EQ(run.trainer->run(), Trainer::End::kDone);
          EXPECT_EQ(run.trainer->progress().step, steps);
          const auto weights = whole_weights(run, mesh);
          if (mesh.world().rank() == 0) outcome.weights = weights;
        });
        return outcome;
      };
      run_to(here, 5);
      const LayoutOutcome outcome = run_to(there, 12);
      for (const auto& [name, weight] : expected.weights)
        EXPECT_LT((outcome.weights.at(name) - weight).abs().max().item<double>(), 1e-5) << name;
    }
  }
}

}  // namespace
}  // namespace lathe
