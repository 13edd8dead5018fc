#include "parallel/mpi_group.h"

#include <fmt/format.h>
#include <mpi.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <list>
#include <mutex>
#include <span>
#include <thread>

#include "parallel/arguments.h"
#include "parallel/combine.h"

#define CHECK_MPI(call) check_mpi(call, #call)

namespace lathe {
namespace {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char message[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, message, &length);
  throw std::runtime_error(fmt::format("MPI: {} in {}", message, call));
}

enum class Call : int32_t {
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kBarrier,
  kSplit,
  kLeave
};
constexpr const char* kCallNames[] = {"all_reduce", "reduce_scatter", "all_gather", "broadcast",
                                      "barrier",    "split",          "leave"};

// What one rank tells its peers at the start of every collective.
struct Offer {
  Call call = Call::kBarrier;
  int32_t option = 0;  // the reduction or the root
  int32_t type = 0;
  int32_t world_rank = 0;
  int64_t count = 0;

  bool same_call(const Offer& other) const {
    return call == other.call && option == other.option && type == other.type &&
           count == other.count;
  }
  std::string describe() const {
    return fmt::format("rank {} {} (option {}) of {} {}", world_rank,
                       kCallNames[static_cast<int>(call)], option, count,
                       c10::toString(static_cast<at::ScalarType>(type)));
  }
};

// A communicator as a plain value. It is never freed: that is a collective call, and groups end
// alone.
struct Comm {
  MPI_Comm handle = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  int world_rank = 0;
};

// As long as it takes, but leaves the core to others: a peer may be busy for minutes, there may be
// more ranks than cores, and another thread of this rank may talk meanwhile. False: given up.
bool wait_for(std::span<MPI_Request> requests, const std::atomic<bool>* give_up = nullptr) {
  int done = 0;
  for (int look = 0; true; ++look) {
    CHECK_MPI(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done,
                          MPI_STATUSES_IGNORE));
    if (done) return true;
    if (give_up != nullptr && *give_up) return false;
    if (look < 50) continue;  // some microseconds: small messages are there at once
    if (look < 2000) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

// The offers of all ranks of a communicator, on their way.
struct Exchange {
  Offer mine;
  std::vector<Offer> offers;
  MPI_Request request = MPI_REQUEST_NULL;

  // MPI holds pointers into it.
  Exchange(const Comm& comm, Offer offer) : mine(offer), offers(comm.size) {
    mine.world_rank = comm.world_rank;
    CHECK_MPI(MPI_Iallgather(&mine, sizeof(Offer), MPI_BYTE, offers.data(), sizeof(Offer), MPI_BYTE,
                             comm.handle, &request));
  }
  Exchange(const Exchange&) = delete;
};

// All communicators of this process, to take leave on each.
struct World {
  std::vector<Comm> comms;

  const Comm& adopt(MPI_Comm handle, int world_rank) {
    Comm comm{.handle = handle, .world_rank = world_rank};
    CHECK_MPI(MPI_Comm_set_errhandler(handle, MPI_ERRORS_RETURN));
    CHECK_MPI(MPI_Comm_rank(handle, &comm.rank));
    CHECK_MPI(MPI_Comm_size(handle, &comm.size));
    return comms.emplace_back(comm);
  }
};

// Bytes of a message; MPI counts in int.
constexpr int64_t kMessageBytes = int64_t{1} << 28;
// Bytes that a peer sends at once for a sum: bounds the scratch memory to that of the ranks.
constexpr int64_t kWindowBytes = int64_t{1} << 20;

class MpiGroup final : public Group {
 public:
  MpiGroup(std::shared_ptr<World> world, Comm comm)
      : world_(std::move(world)), comm_(comm), ours_(comm.size), theirs_(comm.size) {}

  int rank() const override { return comm_.rank; }
  int size() const override { return comm_.size; }
  at::Device device() const override { return at::kCPU; }

  void all_reduce(at::Tensor& tensor, Reduce op) override;
  void reduce_scatter(const at::Tensor& whole, at::Tensor& slice) override;
  void all_gather(const at::Tensor& slice, at::Tensor& whole) override;
  void broadcast(at::Tensor& tensor, int root) override;
  void barrier() override { meet(Call::kBarrier, 0, nullptr); }
  std::unique_ptr<Group> split(int color) override;
  void abandon(const std::string& why) override {
    const std::lock_guard lock(abandoned_mutex_);
    if (why_abandoned_.empty()) why_abandoned_ = fmt::format("rank {} {}", comm_.world_rank, why);
    abandoned_ = true;
  }

 private:
  struct Piece {
    char* data = nullptr;
    int64_t bytes = 0;
  };

  void throw_if_abandoned() {
    const std::lock_guard lock(abandoned_mutex_);
    if (abandoned_) throw PeerLost(why_abandoned_);
  }
  // All ranks are here and make the same call, or all throw.
  void meet(Call call, int option, const at::Tensor* tensor);
  // Sends ours_[peer] to every peer and receives theirs_[peer] from it.
  void swap();
  // Sums over the ranks what each has in its ours_[rank()], into `out`; the other pieces are for
  // the peers' sums.
  void combine_pieces(at::ScalarType type, Reduce op, char* out, int64_t element_bytes);

  std::shared_ptr<World>
      world_;  // owned by all groups of the world and by run_mpi, which leaves the communicators
  Comm comm_;
  std::atomic<bool> abandoned_ = false;
  std::mutex abandoned_mutex_;
  std::string why_abandoned_;
  std::vector<Piece> ours_, theirs_;
  std::vector<char> scratch_;
};

void MpiGroup::meet(Call call, int option, const at::Tensor* tensor) {
  Offer mine{.call = call, .option = option};
  if (tensor != nullptr) {
    mine.type = static_cast<int32_t>(tensor->scalar_type());
    mine.count = tensor->numel();
  }
  throw_if_abandoned();
  auto exchange = std::make_unique<Exchange>(comm_, mine);
  if (!wait_for({&exchange->request, 1}, &abandoned_)) {
    // MPI holds pointers into it: it stays, and the process ends before long.
    static_cast<void>(exchange.release());
    throw_if_abandoned();
  }
  const std::vector<Offer>& offers = exchange->offers;
  for (const Offer& offer : offers) {
    if (offer.call == Call::kLeave) {
      throw PeerLost(
          fmt::format("rank {} left while its peers were in a collective", offer.world_rank));
    }
  }
  for (const Offer& offer : offers) {
    if (!offer.same_call(offers[0])) {
      throw std::logic_error(fmt::format("ranks of one group made different calls: {}, {}",
                                         offers[0].describe(), offer.describe()));
    }
  }
}

void MpiGroup::swap() {
  std::vector<MPI_Request> requests;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    for (int64_t begin = 0; begin < theirs_[peer].bytes; begin += kMessageBytes) {
      const int bytes = static_cast<int>(std::min(kMessageBytes, theirs_[peer].bytes - begin));
      CHECK_MPI(MPI_Irecv(theirs_[peer].data + begin, bytes, MPI_BYTE, peer, 0, comm_.handle,
                          &requests.emplace_back()));
    }
  }
  for (int step = 1; step < size(); ++step) {
    const int peer = (rank() + step) % size();  // not all to rank 0 first
    for (int64_t begin = 0; begin < ours_[peer].bytes; begin += kMessageBytes) {
      const int bytes = static_cast<int>(std::min(kMessageBytes, ours_[peer].bytes - begin));
      CHECK_MPI(MPI_Isend(ours_[peer].data + begin, bytes, MPI_BYTE, peer, 0, comm_.handle,
                          &requests.emplace_back()));
    }
  }
  wait_for(requests);
}

void MpiGroup::combine_pieces(at::ScalarType type, Reduce op, char* out, int64_t element_bytes) {
  const Piece& mine = ours_[rank()];
  scratch_.resize(std::max<size_t>(scratch_.size(), mine.bytes * size()));
  std::vector<const void*> inputs(size());
  for (int peer = 0; peer < size(); ++peer) {
    theirs_[peer] = {scratch_.data() + peer * mine.bytes, mine.bytes};
    inputs[peer] = peer == rank() ? mine.data : theirs_[peer].data;
  }
  swap();
  void* output = out;
  combine(type, op, inputs, {&output, 1}, mine.bytes / element_bytes);
}

void MpiGroup::all_reduce(at::Tensor& tensor, Reduce op) {
  check_tensor("all_reduce", tensor, device());
  check_combinable(tensor.scalar_type());
  meet(Call::kAllReduce, static_cast<int>(op), &tensor);
  if (size() == 1) return;
  const int64_t element_bytes = static_cast<int64_t>(tensor.element_size());
  const int64_t window = kWindowBytes / element_bytes * size();
  char* data = static_cast<char*>(tensor.mutable_data_ptr());
  for (int64_t begin = 0; begin < tensor.numel(); begin += window) {
    // Each rank sums one part of the window, then all exchange their sums.
    const int64_t count = std::min(window, tensor.numel() - begin);
    std::vector<Piece> parts(size());
    for (int peer = 0; peer < size(); ++peer) {
      const int64_t from = count * peer / size(), to = count * (peer + 1) / size();
      parts[peer] = {data + (begin + from) * element_bytes, (to - from) * element_bytes};
    }
    const Piece mine = parts[rank()];
    ours_ = parts;
    combine_pieces(tensor.scalar_type(), op, mine.data, element_bytes);
    ours_.assign(size(), mine);
    theirs_ = parts;
    swap();
  }
}

void MpiGroup::reduce_scatter(const at::Tensor& whole, at::Tensor& slice) {
  check_parts("reduce_scatter", whole, slice, rank(), size(), device());
  check_combinable(whole.scalar_type());
  meet(Call::kReduceScatter, 0, &whole);
  const int64_t bytes = static_cast<int64_t>(slice.nbytes());
  char* from = static_cast<char*>(const_cast<void*>(whole.const_data_ptr()));  // MPI only reads it
  char* to = static_cast<char*>(slice.mutable_data_ptr());
  for (int64_t begin = 0; begin < bytes; begin += kWindowBytes) {
    for (int peer = 0; peer < size(); ++peer) {
      ours_[peer] = {from + peer * bytes + begin, std::min(kWindowBytes, bytes - begin)};
    }
    combine_pieces(whole.scalar_type(), Reduce::kSum, to + begin,
                   static_cast<int64_t>(whole.element_size()));
  }
}

void MpiGroup::all_gather(const at::Tensor& slice, at::Tensor& whole) {
  check_parts("all_gather", whole, slice, rank(), size(), device());
  meet(Call::kAllGather, 0, &slice);
  const int64_t bytes = static_cast<int64_t>(slice.nbytes());
  char* mine = static_cast<char*>(const_cast<void*>(slice.const_data_ptr()));
  char* to = static_cast<char*>(whole.mutable_data_ptr());
  ours_.assign(size(), {mine, bytes});
  for (int peer = 0; peer < size(); ++peer) theirs_[peer] = {to + peer * bytes, bytes};
  swap();
  if (bytes > 0 && mine != theirs_[rank()].data) std::memcpy(theirs_[rank()].data, mine, bytes);
}

void MpiGroup::broadcast(at::Tensor& tensor, int root) {
  check_tensor("broadcast", tensor, device());
  check_root(root, size());
  meet(Call::kBroadcast, root, &tensor);
  char* data = static_cast<char*>(tensor.mutable_data_ptr());
  const int64_t bytes = static_cast<int64_t>(tensor.nbytes());
  for (int64_t begin = 0; begin < bytes; begin += kMessageBytes) {
    const int count = static_cast<int>(std::min(kMessageBytes, bytes - begin));
    CHECK_MPI(MPI_Bcast(data + begin, count, MPI_BYTE, root, comm_.handle));
  }
}

std::unique_ptr<Group> MpiGroup::split(int color) {
  check_color(color);
  meet(Call::kSplit, 0, nullptr);
  MPI_Comm handle;
  CHECK_MPI(MPI_Comm_split(comm_.handle, color, rank(), &handle));
  return std::make_unique<MpiGroup>(world_, world_->adopt(handle, comm_.world_rank));
}

}  // namespace

void mpi_start(bool from_threads) {
  int provided = 0;
  CHECK_MPI(MPI_Init_thread(nullptr, nullptr,
                            from_threads ? MPI_THREAD_MULTIPLE : MPI_THREAD_FUNNELED, &provided));
  if (provided < MPI_THREAD_FUNNELED)
    throw std::runtime_error("MPI: this library cannot live with threads");
}

bool mpi_from_threads() {
  int provided = 0;
  CHECK_MPI(MPI_Query_thread(&provided));
  return provided == MPI_THREAD_MULTIPLE;
}

void mpi_stop() {
  if (std::uncaught_exceptions() == 0) MPI_Finalize();
}

void mpi_abort(int exit_code) {
  int started = 0, stopped = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&stopped);
  if (started && !stopped) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);  // which mpirun takes as the end of the world as well
}

std::string mpi_version() {
  char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(version, &length);
  const std::string whole(version, length);
  return whole.substr(0, whole.find_first_of(",\n"));
}

HostRanks mpi_host_ranks() {
  MPI_Comm host;
  HostRanks here;
  CHECK_MPI(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  CHECK_MPI(MPI_Comm_rank(host, &here.rank));
  CHECK_MPI(MPI_Comm_size(host, &here.size));
  // mpirun binds ranks to cores or packages: what they may use together is the union.
  cpu_set_t mine, all;
  CPU_ZERO(&mine);
  sched_getaffinity(0, sizeof(mine), &mine);
  CHECK_MPI(MPI_Allreduce(&mine, &all, sizeof(mine), MPI_BYTE, MPI_BOR, host));
  CHECK_MPI(MPI_Comm_free(&host));
  here.cores = std::max(1, CPU_COUNT(&all));
  return here;
}

void run_mpi(const std::function<void(std::unique_ptr<Group>)>& body) {
  const auto world = std::make_shared<World>();
  MPI_Comm handle;
  CHECK_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &handle));
  int rank = 0;
  CHECK_MPI(MPI_Comm_rank(handle, &rank));
  body(std::make_unique<MpiGroup>(world, world->adopt(handle, rank)));
  // On all at once. A peer that waits in one of them sees the offer and ends the world; one that is
  // on its way here answers it.
  std::list<Exchange> farewells;
  for (const Comm& comm : world->comms) farewells.emplace_back(comm, Offer{.call = Call::kLeave});
  for (Exchange& farewell : farewells) wait_for({&farewell.request, 1});
}

}  // namespace lathe
