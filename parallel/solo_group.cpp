#include "parallel/arguments.h"
#include "parallel/combine.h"
#include "parallel/local_group.h"

namespace lathe {
namespace {

class SoloGroup final : public Group {
 public:
  explicit SoloGroup(at::Device device) : device_(device) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  at::Device device() const override { return device_; }

  void all_reduce(at::Tensor& tensor, Reduce) override {
    check_tensor("all_reduce", tensor, device_);
    check_combinable(tensor.scalar_type());
  }
  void reduce_scatter(const at::Tensor& whole, at::Tensor& slice) override {
    check_parts("reduce_scatter", whole, slice, 0, 1, device_);
    check_combinable(whole.scalar_type());
    copy(whole, slice);
  }
  void all_gather(const at::Tensor& slice, at::Tensor& whole) override {
    check_parts("all_gather", whole, slice, 0, 1, device_);
    copy(slice, whole);
  }
  void broadcast(at::Tensor& tensor, int root) override {
    check_tensor("broadcast", tensor, device_);
    check_root(root, 1);
  }
  void barrier() override {}
  std::unique_ptr<Group> split(int color) override {
    check_color(color);
    return solo_group(device_);
  }

 private:
  static void copy(const at::Tensor& from, at::Tensor& to) {
    if (from.const_data_ptr() == to.const_data_ptr()) return;
    const at::NoGradGuard no_grad;
    to.view({-1}).copy_(from.view({-1}));
  }

  at::Device device_;
};

}  // namespace

std::unique_ptr<Group> solo_group(at::Device device) { return std::make_unique<SoloGroup>(device); }

}  // namespace lathe
