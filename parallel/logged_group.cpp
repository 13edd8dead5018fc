#include "parallel/logged_group.h"

namespace lathe {
namespace {

class LoggedGroup final : public Group {
 public:
  LoggedGroup(std::unique_ptr<Group> group, RankLog& log, const char* axis)
      : group_(std::move(group)), log_(log), calls_(&log.own), axis_(axis) {}

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  at::Device device() const override { return group_->device(); }

  void all_reduce(at::Tensor& tensor, Reduce op) override {
    begin("all_reduce", tensor);
    group_->all_reduce(tensor, op);
    log_.end(*calls_);
  }
  void reduce_scatter(const at::Tensor& whole, at::Tensor& slice) override {
    begin("reduce_scatter", whole);
    group_->reduce_scatter(whole, slice);
    log_.end(*calls_);
  }
  void all_gather(const at::Tensor& slice, at::Tensor& whole) override {
    begin("all_gather", whole);
    group_->all_gather(slice, whole);
    log_.end(*calls_);
  }
  void broadcast(at::Tensor& tensor, int root) override {
    begin("broadcast", tensor);
    group_->broadcast(tensor, root);
    log_.end(*calls_);
  }
  void barrier() override {
    begin("barrier");
    group_->barrier();
    log_.end(*calls_);
  }
  std::unique_ptr<Group> split(int color) override {
    begin("split");
    std::unique_ptr<Group> part = group_->split(color);
    log_.end(*calls_);
    // A group of one waits for nobody.
    if (part->size() == 1) return part;
    return std::make_unique<LoggedGroup>(std::move(part), log_, part->size() == size() ? axis_ : "part");
  }
  void abandon(const std::string& why) override { group_->abandon(why); }

  void name(const char* axis) { axis_ = axis; }
  void note_beside() { calls_ = &log_.beside; }
  RankLog& log() { return log_; }

 private:
  void begin(const char* name) { log_.begin(*calls_, name, axis_, 0); }
  void begin(const char* name, const at::Tensor& tensor) {
    log_.begin(*calls_, name, axis_, static_cast<int64_t>(tensor.nbytes()));
  }

  std::unique_ptr<Group> group_;
  RankLog& log_;
  CollectiveLog* calls_;
  const char* axis_;
};

}  // namespace

std::unique_ptr<Group> logged(std::unique_ptr<Group> group, RankLog& log) {
  return std::make_unique<LoggedGroup>(std::move(group), log, "world");
}

void name_axis(Group& group, const char* axis) {
  if (auto* noted = dynamic_cast<LoggedGroup*>(&group)) noted->name(axis);
}

void note_beside(Group& group) {
  if (auto* noted = dynamic_cast<LoggedGroup*>(&group)) noted->note_beside();
}

RankLog* log_of(Group& group) {
  auto* noted = dynamic_cast<LoggedGroup*>(&group);
  return noted ? &noted->log() : nullptr;
}

}  // namespace lathe
