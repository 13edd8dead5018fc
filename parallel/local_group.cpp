#include "parallel/local_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>

#include "parallel/arguments.h"
#include "parallel/combine.h"
#include "parallel/local_world.h"

namespace lathe {
namespace {

enum class Call { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kBarrier, kSplit };
constexpr const char* kCallNames[] = {"all_reduce", "reduce_scatter", "all_gather",
                                      "broadcast",  "barrier",        "split"};

struct Team;

// What one rank shows its peers when they meet.
struct Offer {
  Call call = Call::kBarrier;
  int option = 0;  // the reduction or the root: the same at every rank
  at::ScalarType type = at::kByte;
  int64_t count = 0;
  void* data = nullptr;
  int color = 0;
  // Owned by the groups of its members; offered to the ranks that split off together.
  std::shared_ptr<Team> team = nullptr;

  bool same_call(const Offer& other) const {
    return call == other.call && option == other.option && type == other.type &&
           count == other.count;
  }
  std::string describe() const {
    return fmt::format("{} (option {}) of {} {}", kCallNames[static_cast<int>(call)], option, count,
                       c10::toString(type));
  }
};

// What the groups of one set of ranks share. All teams that came from a world by split own it.
struct Team {
  Team(std::shared_ptr<LocalWorld> the_world, int size)
      : world(std::move(the_world)), point(*world, size), offers(size) {}
  std::shared_ptr<LocalWorld> world;
  MeetingPoint point;
  std::vector<Offer> offers;
};

class LocalGroup final : public Group {
 public:
  // members: the world ranks of the team, in order.
  LocalGroup(std::shared_ptr<Team> team, std::vector<int> members, int rank)
      : team_(std::move(team)),
        members_(std::move(members)),
        rank_(rank),
        inputs_(members_.size()),
        outputs_(members_.size()) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(members_.size()); }
  at::Device device() const override { return at::kCPU; }

  void all_reduce(at::Tensor& tensor, Reduce op) override;
  void reduce_scatter(const at::Tensor& whole, at::Tensor& slice) override;
  void all_gather(const at::Tensor& slice, at::Tensor& whole) override;
  void broadcast(at::Tensor& tensor, int root) override;
  void barrier() override {
    meet({.call = Call::kBarrier});
    team_->point.part();
  }
  std::unique_ptr<Group> split(int color) override;
  void abandon(const std::string& why) override {
    team_->point.abandon("rank " + std::to_string(members_[rank_]) + " " + why);
  }

 private:
  // Between meet and part the peers' offers and their memory may be read. Nothing there throws: a
  // rank that did not come to part would keep its peers waiting.
  void meet(Offer offer);
  char* data_of(int peer) const { return static_cast<char*>(team_->offers[peer].data); }

  std::shared_ptr<Team> team_;
  std::vector<int> members_;
  int rank_;
  std::vector<const void*> inputs_;  // scratch, so that nothing is allocated between meet and part
  std::vector<void*> outputs_;
};

void LocalGroup::meet(Offer offer) {
  // Peers read the offers of a meeting only before its part, so this one is free to be written.
  team_->offers[rank_] = std::move(offer);
  team_->point.meet(members_);
  const std::vector<Offer>& offers = team_->offers;
  for (int peer = 1; peer < size(); ++peer) {
    if (offers[peer].same_call(offers[0])) continue;
    const std::string message =
        fmt::format("ranks of one group made different calls: rank {} {}, rank {} {}", members_[0],
                    offers[0].describe(), members_[peer], offers[peer].describe());
    team_->point.part();
    throw std::logic_error(message);
  }
}

void LocalGroup::all_reduce(at::Tensor& tensor, Reduce op) {
  check_tensor("all_reduce", tensor, device());
  check_combinable(tensor.scalar_type());
  const int64_t count = tensor.numel();
  meet({Call::kAllReduce, static_cast<int>(op), tensor.scalar_type(), count,
        tensor.mutable_data_ptr()});
  if (size() > 1) {
    // Each rank combines one part of all tensors and writes it to all: that part is nobody else's
    // to read or write.
    const int64_t begin = count * rank_ / size();
    const int64_t end = count * (rank_ + 1) / size();
    const int64_t offset = begin * static_cast<int64_t>(tensor.element_size());
    for (int peer = 0; peer < size(); ++peer)
      inputs_[peer] = outputs_[peer] = data_of(peer) + offset;
    combine(tensor.scalar_type(), op, inputs_, outputs_, end - begin);
  }
  team_->point.part();
}

void LocalGroup::reduce_scatter(const at::Tensor& whole, at::Tensor& slice) {
  check_parts("reduce_scatter", whole, slice, rank_, size(), device());
  check_combinable(whole.scalar_type());
  void* out = slice.mutable_data_ptr();
  meet({Call::kReduceScatter, 0, whole.scalar_type(), whole.numel(),
        const_cast<void*>(whole.const_data_ptr())});
  if (size() > 1 || out != data_of(0)) {
    const int64_t offset = rank_ * static_cast<int64_t>(slice.nbytes());
    for (int peer = 0; peer < size(); ++peer) inputs_[peer] = data_of(peer) + offset;
    combine(whole.scalar_type(), Reduce::kSum, inputs_, {&out, 1}, slice.numel());
  }
  team_->point.part();
}

void LocalGroup::all_gather(const at::Tensor& slice, at::Tensor& whole) {
  check_parts("all_gather", whole, slice, rank_, size(), device());
  char* out = static_cast<char*>(whole.mutable_data_ptr());
  const size_t bytes = slice.nbytes();
  meet({Call::kAllGather, 0, slice.scalar_type(), slice.numel(),
        const_cast<void*>(slice.const_data_ptr())});
  for (int peer = 0; peer < size(); ++peer) {
    char* part = out + peer * bytes;
    if (bytes > 0 && part != data_of(peer)) std::memcpy(part, data_of(peer), bytes);
  }
  team_->point.part();
}

void LocalGroup::broadcast(at::Tensor& tensor, int root) {
  check_tensor("broadcast", tensor, device());
  check_root(root, size());
  void* data = tensor.mutable_data_ptr();
  meet({Call::kBroadcast, root, tensor.scalar_type(), tensor.numel(), data});
  if (rank_ != root && tensor.nbytes() > 0) std::memcpy(data, data_of(root), tensor.nbytes());
  team_->point.part();
}

std::unique_ptr<Group> LocalGroup::split(int color) {
  check_color(color);
  Offer mine{.call = Call::kSplit};
  mine.color = color;
  std::vector<int> peers, members;
  peers.reserve(members_.size());
  meet(mine);
  for (int peer = 0; peer < size(); ++peer) {
    if (team_->offers[peer].color == color) peers.push_back(peer);
  }
  team_->point.part();
  for (int peer : peers) members.push_back(members_[peer]);

  // Now that the size is known, the first rank of each color offers its peers a team.
  const int leader = peers.front();
  if (rank_ == leader)
    mine.team = std::make_shared<Team>(team_->world, static_cast<int>(peers.size()));
  meet(mine);
  std::shared_ptr<Team> team = team_->offers[leader].team;
  team_->point.part();
  const auto here = std::find(peers.begin(), peers.end(), rank_);
  return std::make_unique<LocalGroup>(std::move(team), std::move(members),
                                      static_cast<int>(here - peers.begin()));
}

}  // namespace

void run_local(int ranks, const std::function<void(std::unique_ptr<Group>)>& body) {
  if (ranks < 1)
    throw std::invalid_argument(fmt::format("parallel.ranks is {}, expected at least 1", ranks));
  if (ranks == 1) return body(solo_group());

  const auto world =
      std::make_shared<LocalWorld>(ranks);  // owned by the teams, and here to hear how it ended
  const auto team = std::make_shared<Team>(world, ranks);
  std::vector<int> members(ranks);
  std::iota(members.begin(), members.end(), 0);
  const auto live = [&](int rank) {
    try {
      body(std::make_unique<LocalGroup>(team, members, rank));
      world->leave(rank);
    } catch (...) {
      world->fail(rank, std::current_exception());
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(ranks);
  try {
    for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(live, rank);
  } catch (...) {
    world->fail(static_cast<int>(threads.size()), std::current_exception());
  }
  for (std::thread& thread : threads) thread.join();
  world->rethrow();
}

}  // namespace lathe
