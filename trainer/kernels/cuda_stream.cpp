#include "trainer/kernels/cuda_stream.h"

#include <c10/cuda/CUDAStream.h>

namespace lathe {

void* current_cuda_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

}  // namespace lathe
