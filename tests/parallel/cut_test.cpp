#include "parallel/cut.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "parallel/layers.h"
#include "parallel/norm.h"
#include "tests/spawn.h"

namespace lathe {
namespace {

at::Tensor counting(std::vector<int64_t> shape) {
  return at::arange(c10::multiply_integers(shape), at::kFloat).reshape(shape);
}

// By rows, by columns, in three runs of each, and with fewer parts than ranks.
std::vector<Cut> cuts_of(const TensorParallel& tp) {
  const auto moved = [&](int64_t count, int64_t width, int64_t begin) {
    CutRun run = tp.share(count, width);
    run.begin += begin;
    run.end += begin;
    return run;
  };
  return {tp.cut({10, 3}, 0, {tp.share(10)}), tp.cut({3, 10}, 1, {tp.share(10)}),
          tp.cut({12, 5}, 0, {tp.share(4, 2), moved(1, 2, 8), moved(1, 2, 10)}),
          tp.cut({2, 12, 3}, 1, {tp.share(4), moved(4, 1, 4), moved(4, 1, 8)}), tp.copy({7})};
}

TEST(Cut, ThePartsAreTheWhole) {
  for (const int ranks : {1, 2, 4}) {
    spawn(ranks, [](Group& group) {
      const TensorParallel tp(group, false);
      const std::vector<std::vector<int64_t>> shapes{{10, 3}, {3, 10}, {12, 5}, {2, 12, 3}, {7}};
      const std::vector<Cut> cuts = cuts_of(tp);
      for (size_t i = 0; i < cuts.size(); ++i) {
        const at::Tensor whole = counting(shapes[i]) - 3;
        const at::Tensor part = part_of(whole, cuts[i]).contiguous();
        EXPECT_EQ(cuts[i].whole_shape(part.sizes()), shapes[i]);
        if (group.size() > 1) { EXPECT_EQ(part.sizes().vec(), cuts[i].part_shape()); }
        EXPECT_TRUE(whole_of(part, cuts[i], group).equal(whole)) << i;
        // Element by element.
        for (const CutPiece& piece : pieces_of(cuts[i], 2, part.numel() - 3)) {
          EXPECT_TRUE(part.flatten()
                          .narrow(0, piece.part, piece.count)
                          .equal(whole.flatten().narrow(0, piece.whole, piece.count)));
        }
      }
    });
  }
}

TEST(Cut, BringsASignedZeroAndWhatIsNoNumberAlong) {
  spawn(2, [](Group& group) {
    const Cut cut =
        TensorParallel(group, false).cut({4}, 0, {TensorParallel(group, false).share(4)});
    const at::Tensor whole = at::tensor({-0.0f, 1.0f, std::nanf(""), -0.0f});
    const at::Tensor got = whole_of(part_of(whole, cut).contiguous(), cut, group);
    EXPECT_TRUE(got.view(at::kInt).equal(whole.view(at::kInt)));
  });
}

TEST(Cut, EveryElementIsCountedOnce) {
  for (const int ranks : {1, 2, 4}) {
    spawn(ranks, [](Group& group) {
      for (const Cut& cut : cuts_of(TensorParallel(group, false))) {
        if (cut.runs.empty()) continue;
        // The place in the whole of each element of the part.
        const at::Tensor places = part_of(counting(cut.shape), cut).flatten().to(at::kLong);
        const int64_t count = places.numel();
        at::Tensor times = at::zeros({c10::multiply_integers(cut.shape)}, at::kLong);
        for (int64_t offset = 0; offset < count; offset += 5) {
          for (const CutPiece& piece :
               counted_pieces_of(cut, offset, std::min<int64_t>(5, count - offset))) {
            const at::Tensor counted = places.narrow(0, piece.part, piece.count);
            times.index_add_(0, counted, at::ones_like(counted));
          }
        }
        group.all_reduce(times, Reduce::kSum);
        EXPECT_TRUE(times.eq(1).all().item<bool>());
      }
    });
  }
}

// Each of the ranks that hold a run has a summand of it.
TEST(Cut, SummandsAreAddedOverTheRanksThatHoldThem) {
  spawn(4, [](Group& group) {
    const TensorParallel tp(group, false);
    const Cut two = tp.cut({2, 3}, 0, {tp.share(2)}), copy = tp.copy({5});
    const at::Tensor one = at::full({1, 3}, group.rank() + 1.0), all = at::full({5}, 1.0);
    const std::vector<at::Tensor> sums = summed_over({one, all}, {&two, &copy}, group);
    EXPECT_TRUE(sums[0].equal(at::full({1, 3}, group.rank() < 2 ? 1.0 + 2 : 3.0 + 4)));
    EXPECT_TRUE(sums[1].equal(at::full({5}, 4.0)));
  });
}

TEST(Cut, TheNormIsThatOfTheWhole) {
  for (const auto& [dp, tp_size] : {std::pair(1, 2), std::pair(2, 2), std::pair(1, 4)}) {
    for (const int zero : {0, 1, 2}) {
      spawn_mesh(dp * tp_size, {.dp = dp, .tp = tp_size}, [&](Mesh& mesh) {
        std::vector<Parameter> parameters;
        double squares = 0;
        for (const Cut& cut : cuts_of(TensorParallel(mesh.tp(), false))) {
          const at::Tensor part = part_of(counting(cut.shape), cut).contiguous();
          parameters.push_back({.name = std::to_string(parameters.size()),
                                .value = part.clone(),
                                .grad = {},
                                .cut = cut});
          squares += counting(cut.shape).square().sum().item<double>();
        }
        std::vector<Parameter*> pointers;
        for (Parameter& parameter : parameters) pointers.push_back(&parameter);
        const auto sharding = make_sharding(zero, pointers, mesh);
        sharding->begin_backward(0, true);
        const at::NoGradGuard no_grad;
        for (Parameter& parameter : parameters)
          parameter.grad += parameter.value / mesh.dp().size();
        sharding->finish_backward();
        sharding->reduce_gradients();
        EXPECT_DOUBLE_EQ(gradient_norm(*sharding, mesh), std::sqrt(squares));
      });
    }
  }
}

TEST(Layers, TokensAreSharedOutAndComeTogether) {
  for (const int ranks : {1, 2, 4}) {
    for (const bool sequence : {false, true}) {
      spawn(ranks, [&](Group& group) {
        const TensorParallel tp(group, sequence);
        for (const int64_t tokens : {0, 1, 7, 8}) {
          const at::Tensor x_TH = counting({tokens, 3});
          const at::Tensor own_SH = tp.own_tokens(x_TH).clone().set_requires_grad(true);
          const at::Tensor entered_TH = tp.enter(own_SH, tokens);
          EXPECT_TRUE(entered_TH.equal(x_TH));
          // Each rank sends back its summand.
          entered_TH.backward(x_TH * (group.rank() + 1));
          const double all = group.size() * (group.size() + 1) / 2.0;
          EXPECT_TRUE(own_SH.grad().equal(tp.own_tokens(x_TH * all)));

          const at::Tensor summand_TH = (x_TH * (group.rank() + 1)).requires_grad_(true);
          const at::Tensor left_SH = tp.leave(summand_TH);
          EXPECT_TRUE(left_SH.equal(tp.own_tokens(x_TH * all)));
          left_SH.backward(tp.own_tokens(x_TH));
          EXPECT_TRUE(summand_TH.grad().equal(x_TH));
        }
      });
    }
  }
}

TEST(Layers, ASoftmaxIsJoinedOverTheVocabulary) {
  at::Tensor logits = (counting({5, 9}) * 7 % 13) - 4;
  const at::Tensor targets = at::tensor({0, 8, 3, 4, 6}, at::kLong);
  const at::Tensor expected = logits.log_softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1);
  spawn(4, [&](Group& group) {
    const TensorParallel tp(group, false);
    const Cut cut = tp.cut({9, 1}, 0, {tp.share(9)});
    const at::Tensor part = part_of(logits, {.shape = {5, 9}, .dim = 1, .runs = cut.runs});
    const at::Tensor own = local_indices(targets, cut);
    at::Tensor lse = part.logsumexp(1);
    at::Tensor picked = part.gather(1, own.clamp_min(0).unsqueeze(1)).squeeze(1) * own.ge(0) - lse;
    tp.join_softmax(picked, lse);
    EXPECT_TRUE(at::allclose(picked, expected, 1e-6, 1e-6));
    EXPECT_TRUE(at::allclose(lse, logits.logsumexp(1), 1e-6, 1e-6));
    at::Tensor mean = part.mean(1);
    tp.join_mean(mean, part.size(1), 9);
    EXPECT_TRUE(at::allclose(mean, logits.mean(1), 1e-6, 1e-6));
    EXPECT_TRUE(tp.join_columns(part, cut).equal(logits));
  });
}

}  // namespace
}  // namespace lathe
