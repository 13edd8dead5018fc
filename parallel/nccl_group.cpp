#include "parallel/nccl_group.h"

#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nccl.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <span>
#include <thread>

#include "parallel/arguments.h"
#include "parallel/combine.h"

#define CHECK_CUDA(call) check_cuda(call, #call)

namespace lathe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Peers may take minutes to start; a peer that is not there after this will not come.
constexpr seconds kStartLimit(300);
constexpr seconds kAbortLimit(10);
constexpr milliseconds kWatchInterval(100);

void check_cuda(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  throw std::runtime_error(fmt::format("CUDA: {} in {}", cudaGetErrorString(code), call));
}

// The communicator with its watch. NCCL tells of a broken peer only when it is asked, while a
// kernel may wait for that peer for ever: so a thread asks, and aborts the communicator, which lets
// the kernel and whoever waits for it go on.
class Communicator {
 public:
  Communicator(Group& host, at::Device device);
  ~Communicator();
  Communicator(const Communicator&) = delete;

  // Runs a call of NCCL's. Returns once it is on the stream; throws when the communicator is
  // broken.
  template <class Call>
  void run(const char* name, Call call) {
    throw_if_broken();
    finish(name, call(comm_));
  }
  void throw_if_broken();
  void abandon(const std::string& why);

 private:
  // Non-blocking calls say ncclInProgress at first.
  void finish(const char* name, ncclResult_t result, std::optional<seconds> limit = {});
  void watch();
  // NCCL's own abort can hang.
  void abort();

  const int device_;  // of the GPU
  ncclComm_t comm_ = nullptr;
  std::mutex mutex_;
  std::condition_variable stop_wanted_;
  bool stop_ = false;
  bool aborted_ = false;
  std::string broken_;
  std::thread watcher_;
};

Communicator::Communicator(Group& host, at::Device device) : device_(device.index()) {
  CHECK_CUDA(cudaSetDevice(device_));
  ncclUniqueId id{};
  ncclResult_t made = ncclSuccess;
  if (host.rank() == 0) made = ncclGetUniqueId(&id);
  at::Tensor bytes = at::zeros({static_cast<int64_t>(sizeof(id))}, at::kByte);
  std::memcpy(bytes.mutable_data_ptr(), &id, sizeof(id));
  // Also after a failure of rank 0: the peers must not wait for it.
  host.broadcast(bytes, 0);
  finish("ncclGetUniqueId", made);
  std::memcpy(&id, bytes.const_data_ptr(), sizeof(id));

  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t begun = ncclCommInitRankConfig(&comm_, host.size(), id, host.rank(), &config);
  try {
    finish("ncclCommInitRankConfig", begun, kStartLimit);
  } catch (...) {
    abort();
    throw;
  }
  watcher_ = std::thread([this] { watch(); });
}

Communicator::~Communicator() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_wanted_.notify_all();
  watcher_.join();
  // ncclCommFinalize would wait for the peers. Abort is local; after the stream is done it disturbs
  // nobody. When an exception is on its way the stream may never be done.
  if (std::uncaught_exceptions() == 0 && !aborted_) cudaDeviceSynchronize();
  abort();
}

void Communicator::abort() {
  if (aborted_ || comm_ == nullptr) return;
  aborted_ = true;
  std::promise<void> done;
  std::future<void> finished = done.get_future();
  std::thread([comm = comm_, device = device_, done = std::move(done)]() mutable {
    cudaSetDevice(device);
    ncclCommAbort(comm);
    done.set_value();
  }).detach();
  finished.wait_for(kAbortLimit);
}

void Communicator::watch() {
  std::unique_lock lock(mutex_);
  while (!stop_wanted_.wait_for(lock, kWatchInterval, [&] { return stop_; })) {
    if (aborted_) return;
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
    if (asked != ncclSuccess) state = asked;
    if (state == ncclSuccess || state == ncclInProgress) continue;
    broken_ = fmt::format("NCCL: {} ({})", ncclGetErrorString(state), ncclGetLastError(comm_));
    return abort();
  }
}

void Communicator::abandon(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (broken_.empty()) broken_ = why;
  abort();
}

void Communicator::throw_if_broken() {
  const std::lock_guard lock(mutex_);
  if (!broken_.empty()) throw PeerLost(broken_);
}

void Communicator::finish(const char* name, ncclResult_t result, std::optional<seconds> limit) {
  const auto start = std::chrono::steady_clock::now();
  while (result == ncclInProgress) {
    throw_if_broken();
    if (limit && std::chrono::steady_clock::now() - start > *limit) {
      throw PeerLost(fmt::format("NCCL: {} had not ended after {} s; a peer did not come", name,
                                 limit->count()));
    }
    std::this_thread::yield();
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &result);
    if (asked != ncclSuccess) result = asked;
  }
  if (result == ncclSuccess) return;
  throw_if_broken();
  const std::string message =
      fmt::format("NCCL: {} ({}) in {}", ncclGetErrorString(result), ncclGetLastError(comm_), name);
  if (result == ncclRemoteError) throw PeerLost(message);
  throw std::runtime_error(message);
}

ncclDataType_t type_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    case at::kInt:
      return ncclInt32;
    case at::kLong:
      return ncclInt64;
    default:
      throw std::logic_error(fmt::format("NCCL: no sum of type {}", c10::toString(type)));
  }
}

ncclRedOp_t op_of(Reduce op) {
  return op == Reduce::kSum ? ncclSum : op == Reduce::kMax ? ncclMax : ncclMin;
}

// NCCL would round a half-precision sum at every step.
at::Tensor widened(const at::Tensor& tensor) {
  const bool half = tensor.scalar_type() == at::kBFloat16 || tensor.scalar_type() == at::kHalf;
  return half ? tensor.to(at::kFloat) : tensor;
}

class NcclGroup final : public Group {
 public:
  NcclGroup(std::unique_ptr<Group> host, at::Device device)
      : host_(std::move(host)), device_(device), comm_(*host_, device) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  at::Device device() const override { return device_; }

  void all_reduce(at::Tensor& tensor, Reduce op) override {
    check_tensor("all_reduce", tensor, device());
    check_combinable(tensor.scalar_type());
    const at::NoGradGuard no_grad;
    const at::Tensor wide = widened(tensor);
    void* data = wide.mutable_data_ptr();
    comm_.run("ncclAllReduce", [&](ncclComm_t comm) {
      return ncclAllReduce(data, data, wide.numel(), type_of(wide.scalar_type()), op_of(op), comm,
                           stream());
    });
    if (!wide.is_same(tensor)) tensor.copy_(wide);
  }
  void reduce_scatter(const at::Tensor& whole, at::Tensor& slice) override {
    check_parts("reduce_scatter", whole, slice, rank(), size(), device());
    check_combinable(whole.scalar_type());
    const at::NoGradGuard no_grad;
    const at::Tensor wide = widened(whole);
    const at::Tensor out = wide.is_same(whole) ? slice : at::empty(slice.sizes(), wide.options());
    comm_.run("ncclReduceScatter", [&](ncclComm_t comm) {
      return ncclReduceScatter(wide.const_data_ptr(), out.mutable_data_ptr(), out.numel(),
                               type_of(out.scalar_type()), ncclSum, comm, stream());
    });
    if (!out.is_same(slice)) slice.copy_(out);
  }
  void all_gather(const at::Tensor& slice, at::Tensor& whole) override {
    check_parts("all_gather", whole, slice, rank(), size(), device());
    comm_.run("ncclAllGather", [&](ncclComm_t comm) {
      return ncclAllGather(slice.const_data_ptr(), whole.mutable_data_ptr(), slice.nbytes(),
                           ncclUint8, comm, stream());
    });
  }
  void broadcast(at::Tensor& tensor, int root) override {
    check_tensor("broadcast", tensor, device());
    check_root(root, size());
    void* data = tensor.mutable_data_ptr();
    comm_.run("ncclBroadcast", [&](ncclComm_t comm) {
      return ncclBroadcast(data, data, tensor.nbytes(), ncclUint8, root, comm, stream());
    });
  }
  void barrier() override {
    comm_.throw_if_broken();
    CHECK_CUDA(cudaStreamSynchronize(stream()));
    comm_.throw_if_broken();
    host_->barrier();
  }
  std::unique_ptr<Group> split(int color) override {
    check_color(color);
    return std::make_unique<NcclGroup>(host_->split(color), device_);
  }
  void abandon(const std::string& why) override {
    comm_.abandon("rank " + std::to_string(rank()) + " of its group " + why);
  }

 private:
  cudaStream_t stream() const { return c10::cuda::getCurrentCUDAStream(device_.index()).stream(); }

  std::unique_ptr<Group> host_;
  at::Device device_;
  Communicator comm_;
};

// NCCL itself would hang or fail in a way that names no rank. Collective over host.
void check_own_gpu(Group& host, int device) {
  cudaDeviceProp properties;
  CHECK_CUDA(cudaGetDeviceProperties(&properties, device));
  constexpr int64_t kBytes = sizeof properties.uuid.bytes;
  at::Tensor own = at::empty({kBytes}, at::kByte);
  std::memcpy(own.data_ptr(), properties.uuid.bytes, kBytes);
  at::Tensor all = at::empty({host.size() * kBytes}, at::kByte);
  host.all_gather(own, all);
  const char* uuids = static_cast<const char*>(all.data_ptr());
  for (int a = 0; a < host.size(); ++a) {
    for (int b = a + 1; b < host.size(); ++b) {
      if (std::memcmp(uuids + a * kBytes, uuids + b * kBytes, kBytes) != 0) continue;
      throw std::invalid_argument(fmt::format(
          "ranks {} and {} have the same GPU (uuid {:02x}); start one rank per GPU of a host, and "
          "let each see them all (CUDA_VISIBLE_DEVICES), or set NCCL_MULTI_RANK_GPU_ENABLE=1, "
          "which NCCL 2.30 and later know",
          a, b, fmt::join(std::span(reinterpret_cast<const uint8_t*>(uuids + a * kBytes), kBytes), "")));
    }
  }
}

}  // namespace

std::unique_ptr<Group> nccl_group(std::unique_ptr<Group> host, at::Device device,
                                  bool may_share_gpus) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) devices = 0;
  if (device.index() >= devices) {
    throw std::invalid_argument(
        fmt::format("rank {} wants GPU {} of its host, but {} can be seen; start one rank per GPU",
                    host->rank(), device.index(), devices));
  }
  if (!may_share_gpus) check_own_gpu(*host, std::max<int>(0, device.index()));
  return std::make_unique<NcclGroup>(std::move(host), device);
}

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace lathe
