#include "trainer/kernels/product.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "trainer/kernels/cpu_features.h"
#include "trainer/kernels/dispatch.h"
#include "trainer/kernels/tile_product.h"

// MKL's, inside libtorch_cpu, which ships without a header; weak, so that a libtorch without it
// still links.
extern "C" __attribute__((weak)) void cblas_gemm_bf16bf16f32(int layout, int transpose_a,
                                                             int transpose_b, int m, int n, int k,
                                                             float alpha, const void* a, int lda,
                                                             const void* b, int ldb, float beta,
                                                             float* c, int ldc);

namespace lathe {
namespace {

// Processors with AMX have these too.
bool has_bf16_instructions() {
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
}

// bfloat16 products summed into float32 without a rounding between: on Intel's processors, with and
// without bfloat16 instructions, at least as fast as any other way. False: not done.
bool add_outer_by_mkl(at::Tensor& grad_OI, const at::Tensor& dy_TO, const at::Tensor& x_TI) {
  static const bool there = cblas_gemm_bf16bf16f32 != nullptr && __builtin_cpu_is("intel");
  const auto plain = [](const at::Tensor& t, at::ScalarType type) {
    return t.is_cpu() && t.scalar_type() == type && t.is_contiguous() && t.numel() > 0;
  };
  if (!there || !plain(grad_OI, at::kFloat) || !plain(dy_TO, at::kBFloat16) ||
      !plain(x_TI, at::kBFloat16)) {
    return false;
  }
  constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
  const int outputs = static_cast<int>(dy_TO.size(1)), inputs = static_cast<int>(x_TI.size(1));
  cblas_gemm_bf16bf16f32(kRowMajor, kTransposed, kPlain, outputs, inputs,
                         static_cast<int>(dy_TO.size(0)), 1, dy_TO.const_data_ptr(), outputs,
                         x_TI.const_data_ptr(), inputs, 1, grad_OI.mutable_data_ptr<float>(),
                         inputs);
  return true;
}

// Rows of a weight's gradient that are made at once.
constexpr int64_t kOuterRows = 512;

// What is read along rows of memory: of types that there are kernels for.
bool is_row_product(const at::Tensor& x_TI, const at::Tensor& weight_OI) {
  return weight_OI.is_cpu() && use_rows(weight_OI, Path::kBest) && weight_OI.is_contiguous() &&
         x_TI.scalar_type() == weight_OI.scalar_type();
}

// More tokens than this are better off in a matrix product.
constexpr int64_t kThin = 8;

bool is_thin(const at::Tensor& x_TI, const at::Tensor& weight_OI) {
  return x_TI.size(0) <= kThin && is_row_product(x_TI, weight_OI) && has_simd(Simd::kAvx2);
}

// Generation's product: what counts is how fast the weights come from memory.
at::Tensor thin_product(const at::Tensor& x_TI, const at::Tensor& weight_OI) {
  const at::Tensor x = x_TI.to(at::kFloat).contiguous();
  const int64_t tokens = x.size(0), width = x.size(1), outputs = weight_OI.size(0);
  at::Tensor y_TO = at::empty({tokens, outputs}, x.options());
  constexpr int64_t kRowsAtLeast = 32;
  with_row_type(weight_OI.scalar_type(), [&](auto type) {
    using T = decltype(type);
    at::parallel_for(0, (outputs + 3) / 4, kRowsAtLeast / 4, [&](int64_t begin, int64_t end) {
      const int64_t first = 4 * begin, last = std::min(4 * end, outputs);
      row_kernels<T>().thin_product(y_TO.data_ptr<float>() + first, x.const_data_ptr<float>(),
                                    rows_of<T>(weight_OI) + first * width, tokens, last - first,
                                    width, outputs);
    });
  });
  return y_TO.to(x_TI.scalar_type());
}

bool fits_tiles(const at::Tensor& x_TI, const std::vector<at::Tensor>& weights_OI) {
  return std::ranges::all_of(weights_OI, [&](const at::Tensor& w_OI) {
    return x_TI.size(0) <= max_tile_tokens(w_OI) && is_row_product(x_TI, w_OI);
  });
}

// The rows of all weights, one after another, among threads.
template <typename X, typename W>
void tiles_of_all(TileProduct<X, W> product, const at::Tensor& x_TI,
                  const std::vector<at::Tensor>& weights_OI, std::vector<at::Tensor>& outputs_TO) {
  constexpr int64_t kRows = 8, kLeastWork = 1 << 17;  // rows a thread takes; multiplications
  const int64_t tokens = x_TI.size(0), width = x_TI.size(1);
  int64_t units = 0;
  for (const at::Tensor& w_OI : weights_OI) units += (w_OI.size(0) + kRows - 1) / kRows;
  const int64_t grain = 1 + kLeastWork / (kRows * width * std::max<int64_t>(1, tokens));
  at::parallel_for(0, units, grain, [&](int64_t begin, int64_t end) {
    int64_t base = 0;  // units before this weight's
    for (size_t i = 0; i < weights_OI.size(); ++i) {
      const int64_t outputs = weights_OI[i].size(0);
      const int64_t first = std::max<int64_t>(0, begin - base) * kRows,
                    last = std::min(outputs, (end - base) * kRows);
      base += (outputs + kRows - 1) / kRows;
      if (first >= last) continue;
      product(outputs_TO[i].data_ptr<float>() + first, rows_of<X>(x_TI),
              rows_of<W>(weights_OI[i]) + first * width,
              {tokens, last - first, width, width, outputs});
    }
  });
}

std::vector<at::Tensor> tile_products(const at::Tensor& x_TI,
                                      const std::vector<at::Tensor>& weights_OI) {
  const bool narrow = x_TI.scalar_type() == at::kBFloat16 && bf16_tiles() != nullptr;
  const at::Tensor x = (narrow ? x_TI : x_TI.to(at::kFloat)).contiguous();
  std::vector<at::Tensor> outputs_TO;
  for (const at::Tensor& w_OI : weights_OI)
    outputs_TO.push_back(at::empty({x.size(0), w_OI.size(0)}, x.options().dtype(at::kFloat)));
  if (narrow) {
    tiles_of_all(bf16_tiles(), x, weights_OI, outputs_TO);
  } else if (x_TI.scalar_type() == at::kBFloat16) {
    tiles_of_all(widening_tiles(), x, weights_OI, outputs_TO);
  } else {
    tiles_of_all(float_tiles(), x, weights_OI, outputs_TO);
  }
  for (at::Tensor& y_TO : outputs_TO) y_TO = y_TO.to(x_TI.scalar_type());
  return outputs_TO;
}

}  // namespace

at::Tensor& gradient_sum(Parameter& parameter) {
  if (!parameter.grad.defined()) {
    throw std::logic_error("parameter " + parameter.name +
                           " is trained but has no gradient tensor: make a Sharding first");
  }
  return parameter.grad;
}

at::Tensor product_operand(const at::Tensor& x) {
  const bool emulated = x.is_cpu() && x.scalar_type() == at::kBFloat16 && !has_bf16_instructions();
  return emulated ? x.to(at::kFloat) : x;
}

int64_t max_tile_tokens(const at::Tensor& weight_OI) {
  constexpr int64_t kTiles = 256;
  const bool has = float_tiles() != nullptr && weight_OI.is_cpu() && use_rows(weight_OI, Path::kBest);
  if (!has) return 0;
  // Matrix units are faster on more than a few tokens.
  return weight_OI.scalar_type() == at::kBFloat16 && has_amx() ? kThin : kTiles;
}

at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI) {
  if (fits_tiles(x_TI, {weight_OI})) return tile_products(x_TI, {weight_OI})[0];
  if (is_thin(x_TI, weight_OI)) return thin_product(x_TI, weight_OI);
  return at::mm(product_operand(x_TI), product_operand(weight_OI).t()).to(x_TI.scalar_type());
}

std::vector<at::Tensor> products(const at::Tensor& x_TI,
                                 const std::vector<at::Tensor>& weights_OI) {
  if (fits_tiles(x_TI, weights_OI)) return tile_products(x_TI, weights_OI);
  std::vector<at::Tensor> outputs_TO;
  for (const at::Tensor& w_OI : weights_OI) outputs_TO.push_back(product(x_TI, w_OI));
  return outputs_TO;
}

at::Tensor product_back(const at::Tensor& dy_TO, const at::Tensor& weight_OI, at::Tensor into_TI) {
  const at::Tensor dy = product_operand(dy_TO), weight = product_operand(weight_OI);
  return into_TI.defined() ? into_TI.addmm_(dy, weight) : at::mm(dy, weight);
}

void add_outer(at::Tensor& grad_OI, const at::Tensor& dy_TO, const at::Tensor& x_TI) {
  if (add_outer_by_mkl(grad_OI, dy_TO, x_TI)) return;
  const at::Tensor dy = product_operand(dy_TO), x = product_operand(x_TI);
  if (dy.scalar_type() == grad_OI.scalar_type()) {
    grad_OI.addmm_(dy.t(), x);
    return;
  }
  // mm sums in float32 inside and rounds once; micro-batches are then summed without rounding to 16
  // bits. A few rows at a time of a large weight: what mm returns is added while it is in the cache.
  const int64_t outputs = grad_OI.size(0), step = outputs < 4 * kOuterRows ? outputs : kOuterRows;
  for (int64_t begin = 0; begin < outputs; begin += step) {
    const int64_t end = std::min(outputs, begin + step);
    grad_OI.slice(0, begin, end).add_(at::mm(dy.slice(1, begin, end).t(), x));
  }
}

}  // namespace lathe
