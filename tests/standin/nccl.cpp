#include "nccl.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

// Collectives between processes of one host, in shared memory: what parallel/nccl_group.cpp needs
// of NCCL, with its habits (a communicator that is not ready at once, errors that are told when
// asked for) and, on demand, its troubles: STANDIN_NCCL_FAIL=N makes the Nth collective of this
// process fail, as by a broken link, and its peers wait until they are told.

namespace {

constexpr int kMaxRanks = 16;
constexpr size_t kSlotBytes = size_t{1} << 18;

struct Shared {
  std::atomic<int> joined, arrived, turn, failed;
  alignas(64) char slots[kMaxRanks][kSlotBytes];
};

size_t size_of(ncclDataType_t type) {
  if (type == ncclUint8) return 1;
  return type == ncclInt32 || type == ncclFloat32 ? 4 : 8;
}

template <class T>
T combined(T a, T b, ncclRedOp_t op) {
  if (op == ncclSum) return a + b;
  if (b != b) return b;
  return op == ncclMax ? (b > a ? b : a) : (b < a ? b : a);
}

template <class T>
void add(T* into, const char* from, size_t count, ncclRedOp_t op) {
  const T* values = reinterpret_cast<const T*>(from);
  for (size_t i = 0; i < count; ++i) into[i] = combined(into[i], values[i], op);
}

void add(void* into, const char* from, size_t count, ncclDataType_t type, ncclRedOp_t op) {
  if (type == ncclFloat32) return add(static_cast<float*>(into), from, count, op);
  if (type == ncclFloat64) return add(static_cast<double*>(into), from, count, op);
  if (type == ncclInt32) return add(static_cast<int32_t*>(into), from, count, op);
  return add(static_cast<int64_t*>(into), from, count, op);
}

std::atomic<int> calls = 0;

bool planned_to_fail(int call) {
  const char* plan = std::getenv("STANDIN_NCCL_FAIL");
  return plan != nullptr && std::to_string(call) == plan;
}

}  // namespace

struct ncclComm {
  Shared* shared = nullptr;
  int rank = 0, size = 0;
  std::string path;
  std::atomic<bool> aborted = false;

  bool broken() const { return aborted || shared->failed != 0; }

  // False when somebody has failed, and once this rank's watch has seen it.
  bool meet() {
    const int turn = shared->turn;
    if (++shared->arrived == size) {
      shared->arrived = 0;
      ++shared->turn;
    }
    while (shared->turn == turn) {
      if (broken()) return false;
      sched_yield();
    }
    return true;
  }
  char* slot(int of) const { return shared->slots[of]; }

  ncclResult_t begin() {
    if (planned_to_fail(++calls)) {
      shared->failed = 1;
      return ncclSystemError;
    }
    return broken() ? ncclRemoteError : ncclSuccess;
  }

  // In pieces that fit a slot: all show theirs, then each takes what it needs.
  template <class Take>
  ncclResult_t in_pieces(const char* send, size_t bytes, const Take& take) {
    if (const ncclResult_t begun = begin(); begun != ncclSuccess) return begun;
    for (size_t at = 0; at < bytes || at == 0; at += kSlotBytes) {
      const size_t piece = std::min(kSlotBytes, bytes - at);
      if (send != nullptr && piece > 0) std::memcpy(slot(rank), send + at, piece);
      if (!meet()) return ncclRemoteError;
      take(at, piece);
      if (!meet()) return ncclRemoteError;
    }
    return ncclSuccess;
  }
};

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = 0;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> made = 0;
  std::snprintf(id->internal, sizeof id->internal, "/standin-nccl-%d-%d", getpid(), ++made);
  const int file = shm_open(id->internal, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (file < 0) return ncclSystemError;
  const int sized = ftruncate(file, sizeof(Shared));
  close(file);
  return sized == 0 ? ncclSuccess : ncclSystemError;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (ranks < 1 || ranks > kMaxRanks || rank < 0 || rank >= ranks || config->blocking != 0)
    return ncclInvalidArgument;
  const int file = shm_open(id.internal, O_RDWR, 0600);
  if (file < 0) return ncclSystemError;
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  ncclComm* made = new ncclComm;
  made->shared = static_cast<Shared*>(memory);
  made->rank = rank;
  made->size = ranks;
  made->path = id.internal;
  *comm = made;
  // All have it mapped: the name is not needed any more.
  if (++made->shared->joined == ranks) shm_unlink(id.internal);
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  *state = comm->shared->failed != 0           ? ncclRemoteError
           : comm->shared->joined < comm->size ? ncclInProgress
                                               : ncclSuccess;
  return ncclSuccess;
}

// What waits in a call of this communicator returns from it. The memory stays until the process
// ends, as a call may still look at it.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->aborted = true;
  if (comm->shared->joined < comm->size) shm_unlink(comm->path.c_str());
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "in progress";
    case ncclInvalidArgument:
      return "invalid argument";
    default:
      return "unhandled system error";
  }
}

const char* ncclGetLastError(ncclComm_t) { return "the stand-in"; }

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t) {
  const size_t width = size_of(type);
  return comm->in_pieces(static_cast<const char*>(send), count * width, [&](size_t at, size_t n) {
    char* into = static_cast<char*>(receive) + at;
    if (n > 0) std::memcpy(into, comm->slot(0), n);
    for (int peer = 1; peer < comm->size; ++peer) add(into, comm->slot(peer), n / width, type, op);
  });
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t receive_count,
                               ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t) {
  const size_t width = size_of(type), mine = receive_count * width, from = mine * comm->rank;
  return comm->in_pieces(
      static_cast<const char*>(send), mine * comm->size, [&](size_t at, size_t n) {
        // What of this rank's part lies in the piece.
        const size_t begin = std::max(at, from), end = std::min(at + n, from + mine);
        if (begin >= end) return;
        char* into = static_cast<char*>(receive) + (begin - from);
        std::memcpy(into, comm->slot(0) + (begin - at), end - begin);
        for (int peer = 1; peer < comm->size; ++peer)
          add(into, comm->slot(peer) + (begin - at), (end - begin) / width, type, op);
      });
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t send_count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t) {
  const size_t bytes = send_count * size_of(type);
  return comm->in_pieces(static_cast<const char*>(send), bytes, [&](size_t at, size_t n) {
    for (int peer = 0; n > 0 && peer < comm->size; ++peer)
      std::memcpy(static_cast<char*>(receive) + peer * bytes + at, comm->slot(peer), n);
  });
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t) {
  const char* from = comm->rank == root ? static_cast<const char*>(send) : nullptr;
  return comm->in_pieces(from, count * size_of(type), [&](size_t at, size_t n) {
    if (n > 0) std::memcpy(static_cast<char*>(receive) + at, comm->slot(root), n);
  });
}
}
