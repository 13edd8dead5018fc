#include <atomic>

#include "tests/trainer/layouts.h"

// Sums and weights that travel beside the passes change no bit, whatever the layout.
namespace lathe {
namespace {

using Kind = Trained::Kind;

void expect_no_difference(const Trained& trained, Layout layout, int steps) {
  SCOPED_TRACE(trained.text() + ": " + layout.text());
  const LayoutOutcome plain = outcome_of(trained, layout, steps);
  layout.overlap = true;
  const LayoutOutcome overlapped = outcome_of(trained, layout, steps);
  ASSERT_EQ(overlapped.losses.size(), static_cast<size_t>(steps));
  ASSERT_FALSE(overlapped.weights.empty());
  expect_same_bits(plain, overlapped);
}

// The head is the embedding, which is used twice in a pass.
const Trained kTied{"qwen3", Kind::kFull, R"(, "tie_word_embeddings": true)"};
const Trained kUntied{"llama", Kind::kFull, R"(, "tie_word_embeddings": false)"};
const Trained kAdapters{"qwen3", Kind::kLora};
constexpr Checkpointing kBlock = Checkpointing::kBlock;

TEST(Overlap, OfAWholeModelChangesNoBit) {
  for (const int zero : {2, 3}) {
    expect_no_difference(kTied, {.dp = 2, .zero = zero, .accumulation = 2}, 3);
    expect_no_difference(kUntied, {.dp = 4, .zero = zero, .checkpointing = kBlock}, 3);
  }
}

TEST(Overlap, OfAdaptersChangesNoBit) {
  for (const int zero : {2, 3}) {
    expect_no_difference(kAdapters, {.dp = 2, .zero = zero, .checkpointing = kBlock}, 3);
  }
}

TEST(Overlap, BesideTensorParallelLayersChangesNoBit) {
  expect_no_difference(kTied, {.dp = 2, .tp = 2, .zero = 3, .checkpointing = kBlock}, 3);
  expect_no_difference(kAdapters, {.dp = 2, .tp = 2, .zero = 2, .accumulation = 2}, 3);
}

TEST(Overlap, BesideAnEvaluationChangesNoBit) {
  const auto losses = [](bool overlap) {
    std::vector<double> all;
    const Layout layout{.dp = 2, .zero = 3, .overlap = overlap};
    on_layout(layout, [&](Mesh& mesh) {
      LayoutRun run(kTied, layout, mesh);
      for (int step = 0; step < 3; ++step) {
        const double loss = run.trainer->step().loss;
        const at::NoGradGuard no_grad;
        BatchSource batches = tiny_batches(run.data);
        for (const Batch& batch : batches.next()) {
          const double sum = cross_entropy(*run.parts.model, batch).sum.item<double>();
          if (mesh.world().rank() == 0) all.insert(all.end(), {loss, sum});
        }
      }
    });
    return all;
  };
  const std::vector<double> expected = losses(false);
  EXPECT_EQ(expected.size(), 6u);
  EXPECT_EQ(losses(true), expected);
}

struct Planned : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A rank's backward fails behind the head while its sums and its peers' are under way.
TEST(Overlap, AFailureInABackwardEndsAllRanks) {
  for (int round = 0; round < 12; ++round) {
    const Layout layout{.dp = 2 + round % 3, .zero = 3, .overlap = true};
    std::atomic<int> lost = 0;
    const auto body = [&](Mesh& mesh) {
      LayoutRun run(kUntied, layout, mesh);
      run.trainer->step();
      const Batch batch = tiny_batches(run.data).next()[0];
      const at::Tensor hidden_NH = run.parts.model->hidden(batch);
      if (mesh.world().rank() == round % layout.dp) {
        hidden_NH.register_hook(
            [](const at::Tensor&) -> at::Tensor { throw Planned("no memory"); });
      }
      try {
        run.parts.model->log_probs(hidden_NH, batch.targets.clamp_min(0)).sum().backward();
        run.sharding->reduce_gradients();
      } catch (const PeerLost&) {
        ++lost;
        throw;
      }
    };
    EXPECT_THROW(on_layout(layout, body), Planned);
    EXPECT_EQ(lost, layout.dp - 1);
  }
}

// Minutes; tests/CMakeLists.txt runs it under the label `slow`.
TEST(Overlap, DISABLED_ChangesNoBitAnywhere) {
  int compared = 0;
  for (const Trained& trained : {kTied, kUntied, kAdapters}) {
    for (const int dp : {2, 4}) {
      for (const int tp : {1, 2}) {
        for (const int zero : {2, 3}) {
          for (const int64_t accumulation : {1, 2}) {
            for (const Checkpointing mode : {Checkpointing::kOff, kBlock}) {
              expect_no_difference(trained,
                                   {.dp = dp,
                                    .tp = tp,
                                    .zero = zero,
                                    .accumulation = accumulation,
                                    .checkpointing = mode},
                                   4);
              ++compared;
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(compared, 96);
}

}  // namespace
}  // namespace lathe
