#pragma once

namespace lathe {

// The stream that LibTorch's operations run on (a cudaStream_t). Apart, so that nvcc reads none of
// LibTorch's headers.
void* current_cuda_stream();

}  // namespace lathe
