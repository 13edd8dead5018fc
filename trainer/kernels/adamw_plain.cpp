#include "trainer/kernels/adamw_loop.h"

namespace lathe {

void adamw_plain(const AdamWSlice& slice, const AdamWScalars& scalars) {
  adamw_slice(slice, scalars);
}

}  // namespace lathe
