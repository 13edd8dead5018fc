#include "parallel/buckets.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

Parameter make(const std::string& name, std::vector<int64_t> shape,
               at::ScalarType type = at::kFloat) {
  return {.name = name, .value = at::rand(shape, type), .grad = {}, .trained = true};
}

std::string refusal(const std::vector<Parameter*>& parameters) {
  try {
    make_buckets(parameters, 2, at::kCPU);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(Buckets, HoldTheParametersOfOneTypeInOrder) {
  Parameter a = make("a", {3, 5}), b = make("b", {40}, at::kBFloat16), c = make("c", {33});
  const at::Tensor a_was = a.value.clone(), b_was = b.value.clone(), c_was = c.value.clone();
  const std::vector<Bucket> buckets = make_buckets({&a, &b, &c}, 3, at::kCPU);
  ASSERT_EQ(buckets.size(), 2u);
  EXPECT_EQ(buckets[0].parameters, (std::vector<Parameter*>{&a, &c}));
  EXPECT_EQ(buckets[0].offsets, (std::vector<int64_t>{0, 32}));
  EXPECT_EQ(buckets[0].values.numel(), 96);  // 32 + 33, to the next multiple of 3 x 32
  EXPECT_EQ(buckets[1].values.numel(), 96);
  EXPECT_EQ(buckets[1].values.scalar_type(), at::kBFloat16);
  EXPECT_EQ(buckets[1].grads.scalar_type(), at::kFloat);
  EXPECT_TRUE(a.value.equal(a_was));
  EXPECT_TRUE(b.value.equal(b_was));
  EXPECT_TRUE(c.value.equal(c_was));
  EXPECT_EQ(c.value.const_data_ptr(), buckets[0].values.narrow(0, 32, 1).const_data_ptr());
  EXPECT_EQ(c.grad.const_data_ptr(), buckets[0].grads.narrow(0, 32, 1).const_data_ptr());
  // What lies between the parameters is zero and stays out of everybody's way.
  EXPECT_EQ(buckets[0].values.narrow(0, 15, 17).abs().sum().item<float>(), 0);
}

TEST(Buckets, OlderHandlesSeeTheNewMemory) {
  Parameter a = make("a", {4});
  const at::Tensor handle = a.value;  // as a layer holds it
  const std::vector<Bucket> buckets = make_buckets({&a}, 1, at::kCPU);
  {
    const at::NoGradGuard no_grad;
    buckets[0].values.fill_(7);
  }
  EXPECT_TRUE(handle.equal(at::full({4}, 7.0f)));
  EXPECT_TRUE(handle.requires_grad());
  EXPECT_TRUE(handle.is_leaf());
  EXPECT_FALSE(buckets[0].values.requires_grad());
}

TEST(Buckets, BackwardReachesTheMovedParameter) {
  Parameter a = make("a", {4});
  a.value.set_requires_grad(true);
  (a.value * 2).sum().backward();  // what autograd remembers of the old memory must not matter
  a.value.mutable_grad().reset();
  make_buckets({&a}, 1, at::kCPU);
  (a.value * 3).sum().backward();
  EXPECT_TRUE(a.value.grad().equal(at::full({4}, 3.0f)));
}

TEST(Buckets, GradientsAreZeroViewsOfTheParametersShape) {
  Parameter a = make("a", {2, 3}, at::kBFloat16);
  const std::vector<Bucket> buckets = make_buckets({&a}, 1, at::kCPU);
  EXPECT_EQ(a.grad.sizes(), a.value.sizes());
  EXPECT_EQ(a.grad.scalar_type(), at::kFloat);
  EXPECT_FALSE(a.grad.requires_grad());
  EXPECT_EQ(a.grad.abs().sum().item<float>(), 0);
}

TEST(Buckets, FrozenParametersStayWhereTheyAre) {
  Parameter a = make("a", {4}), frozen = make("frozen", {4}), numbers = make("numbers", {4});
  frozen.trained = numbers.trained = false;
  numbers.value = at::ones({4}, at::kByte);
  const void* where = frozen.value.const_data_ptr();
  EXPECT_EQ(make_buckets({&frozen, &a, &numbers}, 1, at::kCPU).size(), 1u);
  EXPECT_EQ(frozen.value.const_data_ptr(), where);
  EXPECT_FALSE(frozen.grad.defined());
  EXPECT_FALSE(frozen.value.requires_grad());
  EXPECT_TRUE(make_buckets({&frozen}, 1, at::kCPU).empty());
}

TEST(Buckets, RefuseWhatCannotBeTrained) {
  Parameter a = make("a", {4}), same_name = make("a", {4}),
            same_tensor{.name = "b", .value = a.value, .grad = {}};
  Parameter empty{.name = "empty", .value = {}, .grad = {}},
      bytes{.name = "bytes", .value = at::ones({4}, at::kByte), .grad = {}};
  EXPECT_EQ(refusal({&a, &same_name}), "parameter a: the name is there twice");
  EXPECT_EQ(refusal({&a, &same_tensor}), "parameter b: its tensor is another parameter's too");
  EXPECT_EQ(refusal({&empty}), "parameter empty: it has no value");
  EXPECT_EQ(refusal({&bytes}), "parameter bytes: type Byte cannot be trained");
}

}  // namespace
}  // namespace lathe
