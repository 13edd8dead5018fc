#pragma once

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
