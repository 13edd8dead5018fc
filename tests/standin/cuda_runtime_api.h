#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Those declarations of CUDA's that parallel/nccl_group.cpp uses: a device whose memory is the
// host's and whose streams are always done.
typedef enum { cudaSuccess = 0 } cudaError_t;
typedef void* cudaStream_t;

inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

// Every process has a GPU of its own, unless STANDIN_SAME_GPU is set.
typedef struct {
  char bytes[16];
} cudaUUID_t;
struct cudaDeviceProp {
  cudaUUID_t uuid;
};
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const pid_t process = getenv("STANDIN_SAME_GPU") != NULL ? 0 : getpid();
  memset(properties, 0, sizeof *properties);
  memcpy(properties->uuid.bytes, &process, sizeof process);
  return cudaSuccess;
}
