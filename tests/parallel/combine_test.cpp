#include "parallel/combine.h"

#include <gtest/gtest.h>

#include <array>

namespace lathe {
namespace {

TEST(Combine, WritesToEveryOutputAndOverItsInputs) {
  at::Tensor a = at::arange(5000, at::kFloat), b = a * 2;
  const std::array<const void*, 2> inputs{a.const_data_ptr(), b.const_data_ptr()};
  const std::array<void*, 2> outputs{b.mutable_data_ptr(), a.mutable_data_ptr()};
  combine(at::kFloat, Reduce::kSum, inputs, outputs, 5000);
  EXPECT_TRUE(a.equal(at::arange(5000, at::kFloat) * 3));
  EXPECT_TRUE(b.equal(a));
}

TEST(Combine, TouchesOnlyWhatItWasTold) {
  at::Tensor a = at::ones({10});
  const void* input = a.const_data_ptr();
  at::Tensor out = at::zeros({10});
  void* output = out.mutable_data_ptr();
  combine(at::kFloat, Reduce::kSum, {&input, 1}, {&output, 1}, 7);
  EXPECT_EQ(out.sum().item<float>(), 7);
  combine(at::kFloat, Reduce::kSum, {&input, 1}, {&output, 1}, 0);
  EXPECT_EQ(out.sum().item<float>(), 7);
}

TEST(Combine, OneInputKeepsItsBits) {
  for (at::ScalarType type :
       {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble, at::kInt, at::kLong}) {
    const at::Tensor a = (at::arange(3000) - 1500).to(type);
    at::Tensor out = at::empty_like(a);
    const void* input = a.const_data_ptr();
    void* output = out.mutable_data_ptr();
    combine(type, Reduce::kSum, {&input, 1}, {&output, 1}, a.numel());
    EXPECT_TRUE(out.equal(a)) << c10::toString(type);
  }
}

TEST(Combine, NamesTypesThatItCannotCombine) {
  try {
    check_combinable(at::kBool);
    ADD_FAILURE() << "bool was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "a reduction over ranks of type Bool; expected a floating type, int32 or int64");
  }
}

}  // namespace
}  // namespace lathe
