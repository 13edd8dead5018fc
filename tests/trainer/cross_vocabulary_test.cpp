#include "trainer/objective/cross_vocabulary.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/tokenize/token_view.h"
#include "tests/shared.h"
#include "tests/trainer/distill_outcome.h"
#include "trainer/objective/soft_targets.h"
#include "trainer/safetensors.h"

// Two tokenizers over one text, and what their models' distributions are compared by.
namespace lathe {
namespace {

using Ids = std::vector<int64_t>;

TEST(CrossVocabulary, GroupsAreTheSmallestThatBeginAndEndTogether) {
  // ab c def  |  a b c de f
  EXPECT_EQ(one_to_one({2, 3, 6}, {1, 2, 3, 5, 6}), (Ids{-1, 2, -1}));
  // The same cut, and one that never meets until the end.
  EXPECT_EQ(one_to_one({1, 4, 5}, {1, 4, 5}), (Ids{0, 1, 2}));
  EXPECT_EQ(one_to_one({2, 4, 6}, {1, 3, 5, 6}), (Ids{-1, -1, -1}));
  // One and the same end after different beginnings is no group of one.
  EXPECT_EQ(one_to_one({1, 3}, {2, 3}), (Ids{-1, -1}));
  // A teacher's BOS and EOS stand for no text; a student's character of two tokens is at its last.
  EXPECT_EQ(one_to_one({2, 3}, {0, 2, 3, 3}), (Ids{1, 2}));
  EXPECT_EQ(one_to_one({0, 2, 3}, {2, 3}), (Ids{-1, -1, 1}));
  // One side ends early.
  EXPECT_EQ(one_to_one({1, 2, 3}, {1}), (Ids{0, -1, -1}));
  EXPECT_EQ(one_to_one({}, {1}), Ids{});
}

Batch batch_of(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<Ids> ids;
  std::vector<DocumentView> views;
  for (const std::string& text : texts) {
    const std::vector<int32_t> narrow = tokenizer.encode(text, false);
    ids.emplace_back(narrow.begin(), narrow.end());
  }
  for (const Ids& each : ids) views.push_back({each.data(), nullptr, std::ssize(each)});
  return make_batch(views);
}

std::string text_of(const Tokenizer& tokenizer, const Batch& batch, int64_t begin, int64_t end) {
  const auto* tokens = batch.tokens.const_data_ptr<int64_t>();
  return tokenizer.decode({tokens + begin, tokens + end}, false);
}

TEST(CrossVocabulary, ComparesWhatStandsBehindTheSameText) {
  if (!have_shared("data/tokenizers/gpt2")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer student(shared_path("data/tokenizers/minimind")),
      teacher(shared_path("data/tokenizers/gpt2"));
  ASSERT_NE(student.hash(), teacher.hash());
  const CrossVocabulary cross(student, teacher);
  const Batch batch =
      batch_of(student, {"The committee met at noon and decided, after an hour, to wait.", "",
                         "Das Gleiche in einer anderen Sprache: 3 Äpfel für 12 €."});
  const CrossVocabulary::Reading reading = cross.read(batch);
  ASSERT_EQ(reading.batch.cu_seqlens.size(), batch.cu_seqlens.size());
  ASSERT_EQ(reading.positions_N.size(0), batch.num_targets);
  int64_t n = 0, compared = 0;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const int64_t begin = batch.cu_seqlens[d], end = batch.cu_seqlens[d + 1],
                  other = reading.batch.cu_seqlens[d];
    EXPECT_EQ(text_of(student, batch, begin, end),
              text_of(teacher, reading.batch, other, reading.batch.cu_seqlens[d + 1]));
    for (int64_t t = begin; t + 1 < end; ++t, ++n) {
      const int64_t position = reading.positions_N[n].item<int64_t>();
      if (position < 0) continue;
      ++compared;
      // Both have read the same, and go on with a token of the same text.
      EXPECT_EQ(text_of(student, batch, begin, t + 1),
                text_of(teacher, reading.batch, other, position + 1));
      EXPECT_EQ(text_of(student, batch, t + 1, t + 2),
                text_of(teacher, reading.batch, position + 1, position + 2));
    }
  }
  EXPECT_EQ(n, batch.num_targets);
  EXPECT_GT(compared, n / 3);
  EXPECT_LT(compared, n);
  // Tokens of both vocabularies say the same.
  ASSERT_GT(cross.shared().student_ids_M.size(0), 2000);
  for (int64_t i = 0; i < cross.shared().student_ids_M.size(0); i += 97) {
    const Ids a{student.encode("a", false)[0], cross.shared().student_ids_M[i].item<int64_t>()},
        b{teacher.encode("a", false)[0], cross.shared().teacher_ids_M[i].item<int64_t>()};
    EXPECT_EQ(token_texts(student, a)[1], token_texts(teacher, b)[1]);
  }
}

TEST(CrossVocabulary, TheSameTokenizerIsOneToOneAndHasTheWholeDivergence) {
  if (!have_shared("data/tokenizers/minimind")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/tokenizers/minimind"));
  const CrossVocabulary cross(tokenizer, tokenizer);
  const Batch batch = batch_of(tokenizer, {"One text.", "And one more."});
  const CrossVocabulary::Reading reading = cross.read(batch);
  EXPECT_TRUE(at::equal(reading.batch.tokens, batch.tokens));
  const at::Tensor chosen = (batch.targets != kIgnore).nonzero().squeeze(1);
  EXPECT_TRUE(at::equal(reading.positions_N, chosen));
}

TEST(CrossVocabulary, SortedProbabilitiesEqualTheReferenceInValueAndGradient) {
  const auto row = [](std::vector<double> x) { return at::tensor(x, at::kDouble).unsqueeze(0); };
  const at::Tensor p = row({2, 1, 0, -1}), q = row({1, 1, 1, -3});
  EXPECT_NEAR(uld_of_rows(q, p, {}, false).losses_C.item<double>(), .67718817, 1e-8);
  // The shorter list goes on with zeros, whichever it is.
  const double longer = uld_of_rows(row({0, 0, 0}), row({0, 0}), {}, false).losses_C.item<double>();
  EXPECT_NEAR(longer, 2 * (.5 - 1. / 3) + 1. / 3, 1e-12);
  EXPECT_NEAR(uld_of_rows(row({0, 0}), row({0, 0, 0}), {}, false).losses_C.item<double>(), longer,
              1e-12);
  if (!have_shared("fixtures/losses")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const SafetensorsFile file(shared_path("fixtures/losses/distillation.safetensors"));
  const at::Tensor labels = file.tensor("in.labels").flatten();
  const at::Tensor chosen = (labels != kIgnore).nonzero().squeeze(1);
  const auto rows = [&](const std::string& name) {
    return file.tensor(name).flatten(0, 1).index_select(0, chosen).to(at::kDouble);
  };
  const ChunkLoss loss =
      uld_of_rows(rows("in.student_logits"), rows("in.teacher_logits_other_vocabulary"), {}, true);
  EXPECT_LT((loss.losses_C - rows("uld.per_token")).abs().max().item<double>(), 1e-5);
  EXPECT_NEAR(loss.losses_C.sum().item<double>(), 10.823289387659031, 1e-5);
  EXPECT_LT((loss.dlogits_CV - rows("uld.grad_of_sum")).abs().max().item<double>(), 1e-5);
}

// By hand: student's outcomes a b c, teacher's b a d e; a and b are shared.
TEST(CrossVocabulary, SharedTokensAndTheRestTogether) {
  const at::Tensor student = at::tensor({.2, .3, .5}, at::kDouble).log().unsqueeze(0),
                   teacher = at::tensor({.4, .3, .2, .1}, at::kDouble).log().unsqueeze(0);
  const SharedTokens shared{at::tensor({0, 1}, at::kLong), at::tensor({1, 0}, at::kLong)};
  DistillConfig config = with("forward_kl");
  const double kl = .3 * std::log(.3 / .2) + .4 * std::log(.4 / .3) + .3 * std::log(.3 / .5);
  const ChunkLoss loss = divergence_of_shared(student, teacher, shared, config, true);
  EXPECT_NEAR(loss.losses_C.item<double>(), kl, 1e-7);
  // d / d logits of the three outcomes: q - p, the rest being outcome c alone.
  EXPECT_TRUE(at::allclose(loss.dlogits_CV, at::tensor({-.1, -.1, .2}, at::kDouble).unsqueeze(0),
                           1e-6, 1e-7));
  config.top_k = 1;  // b alone
  EXPECT_NEAR(divergence_of_shared(student, teacher, shared, config, false).losses_C.item<double>(),
              .4 * std::log(.4 / .3) + .6 * std::log(.6 / .7), 1e-7);
}

}  // namespace
}  // namespace lathe
