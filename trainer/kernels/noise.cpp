#include "trainer/kernels/noise.h"

#include <ATen/Parallel.h>

#include "trainer/kernels/dispatch.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

constexpr int64_t kLanes = 8;  // elements per call of philox, 16 bits each

template <typename T>
void drop_rows(T* out, const T* x, const int64_t* keys, int64_t begin, int64_t end, int64_t width,
               uint64_t stream, double p, int64_t first) {
  const auto limit = static_cast<uint32_t>(p * 65536);
  const auto scale = static_cast<float>(1 / (1 - p));
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t block = first / kLanes; block * kLanes < first + width; ++block) {
      const auto bits = philox(static_cast<uint64_t>(keys[t]), block, stream);
      const int64_t begin = std::max(first, block * kLanes),
                    end_of_block = std::min(first + width, (block + 1) * kLanes);
      for (int64_t column = begin; column < end_of_block; ++column) {
        const int64_t i = column % kLanes;
        const uint32_t draw = (bits[i / 2] >> (16 * (i % 2))) & 0xffffu;
        const int64_t at = t * width + column - first;
        out[at] = draw < limit ? T(0) : T(static_cast<float>(x[at]) * scale);
      }
    }
  }
}

}  // namespace

at::Tensor drop(const at::Tensor& x_TI, const at::Tensor& keys_T, uint64_t stream, double p,
                int64_t first) {
  const at::Tensor x = x_TI.contiguous().cpu(), keys = keys_T.cpu().contiguous();
  at::Tensor out = at::empty_like(x);
  const int64_t width = x.size(1);
  const auto rows = [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, x.size(0), std::max<int64_t>(1, 16384 / width), [&](int64_t b, int64_t e) {
      drop_rows(out.mutable_data_ptr<T>(), x.const_data_ptr<T>(), keys.const_data_ptr<int64_t>(), b,
                e, width, stream, p, first);
    });
  };
  x.scalar_type() == at::kBFloat16 ? rows(at::BFloat16()) : rows(float());
  return out.to(x_TI.device());
}

at::Tensor uniform_noise(const at::Tensor& keys_T, uint64_t stream, int64_t width) {
  const at::Tensor keys = keys_T.cpu().contiguous();
  const int64_t* key = keys.const_data_ptr<int64_t>();
  at::Tensor out = at::empty({keys.numel(), width}, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  at::parallel_for(0, keys.numel(), std::max<int64_t>(1, 16384 / width), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      for (int64_t i = 0; i < width; ++i) {
        const auto bits = philox(static_cast<uint64_t>(key[t]), i / 4, stream);
        values[t * width + i] = static_cast<float>(2 * uniform_from(bits[i % 4]) - 1);
      }
    }
  });
  return out.to(keys_T.device());
}

}  // namespace lathe
