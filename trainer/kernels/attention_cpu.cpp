#include "trainer/kernels/attention_cpu.h"

#include <ATen/Parallel.h>

// The BLAS inside libtorch_cpu (MKL), which ships without a header; weak, so that a libtorch
// without it still links.
extern "C" __attribute__((weak)) void sgemm_(const char* transpose_a, const char* transpose_b,
                                             const int* m, const int* n, const int* k,
                                             const float* alpha, const float* a, const int* lda,
                                             const float* b, const int* ldb, const float* beta,
                                             float* c, const int* ldc);

namespace lathe {
namespace {

constexpr int64_t kQueryBlock = 64;

enum Transpose : char { kNo = 'N', kYes = 'T' };

struct Matrix {
  float* data;
  int64_t stride;

  Matrix row(int64_t r) const { return {data + r * stride, stride}; }
};

// c[m, n] = a b + beta c, on the calling thread when it is one of several. BLAS counts columns
// first: the transposed product is asked for.
void multiply_into(const Matrix& c, const Matrix& a, Transpose ta, const Matrix& b, Transpose tb,
                   int64_t m, int64_t n, int64_t k, float beta) {
  const char transpose_a = ta, transpose_b = tb;
  const int rows = static_cast<int>(m), columns = static_cast<int>(n), depth = static_cast<int>(k);
  const int lda = static_cast<int>(a.stride), ldb = static_cast<int>(b.stride),
            ldc = static_cast<int>(c.stride);
  const float alpha = 1;
  sgemm_(&transpose_b, &transpose_a, &columns, &rows, &depth, &alpha, b.data, &ldb, a.data, &lda,
         &beta, c.data, &ldc);
}

struct Shape {
  int64_t tokens, heads, kv_heads, width;

  explicit Shape(const at::Tensor& q, const at::Tensor& k)
      : tokens(q.size(0)), heads(q.size(1)), kv_heads(k.size(1)), width(q.size(2)) {}

  // The rows of one head from token `begin` on.
  static Matrix rows(const at::Tensor& x_TND, int64_t begin, int64_t head) {
    const int64_t stride = x_TND.size(1) * x_TND.size(2);
    return {x_TND.data_ptr<float>() + begin * stride + head * x_TND.size(2), stride};
  }
  int64_t kv_head(int64_t head) const { return head / (heads / kv_heads); }
};

int64_t longest(const std::vector<int64_t>& cu_seqlens) {
  int64_t most = 0;
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    most = std::max(most, cu_seqlens[d + 1] - cu_seqlens[d]);
  }
  return most;
}

// The first key that any query from `first` on sees.
int64_t first_key(int64_t first, const Scoring& scoring) {
  return scoring.window > 0 ? std::max<int64_t>(0, first + 1 - scoring.window) : 0;
}

// Calls work(begin, end, head) for every head of every document, among threads: each takes some
// heads of all documents, whose lengths differ.
template <typename Work>
void for_each_head(const std::vector<int64_t>& cu_seqlens, const Shape& shape, const Work& work) {
  const auto documents = static_cast<int64_t>(cu_seqlens.size()) - 1, heads = shape.heads;
  int64_t total = 0;  // multiplications of one head, about
  for (int64_t d = 0; d < documents; ++d) {
    const int64_t length = cu_seqlens[d + 1] - cu_seqlens[d];
    total += length * length * shape.width;
  }
  // Below some 300K multiplications a second thread costs more than it brings.
  const int64_t grain = 1 + 300000 * documents / std::max<int64_t>(1, total);
  at::parallel_for(0, documents * heads, grain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      work(cu_seqlens[i % documents], cu_seqlens[i % documents + 1], i / documents);
    }
  });
}

// Scratch of the calling thread; grows, and is kept for the next call. Always at a cache line:
// where a matrix begins decides in which order MKL adds.
float* scratch(int64_t count) {
  constexpr uintptr_t kLine = 64;
  thread_local std::vector<float> memory;
  const size_t needed = static_cast<size_t>(count) + kLine / sizeof(float);
  if (memory.size() < needed) memory.resize(needed);
  const uintptr_t at = reinterpret_cast<uintptr_t>(memory.data());
  return memory.data() + ((kLine - at % kLine) % kLine) / sizeof(float);
}

}  // namespace

bool has_cpu_attention() { return sgemm_ != nullptr; }

std::pair<at::Tensor, at::Tensor> cpu_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                                                const at::Tensor& v_TKD,
                                                const std::vector<int64_t>& cu_seqlens,
                                                const Scoring& scoring) {
  const Shape shape(q_TQD, k_TKD);
  at::Tensor out = at::empty_like(q_TQD);
  at::Tensor lse = at::empty({shape.heads, shape.tokens}, q_TQD.options());
  const int64_t D = shape.width;
  for_each_head(cu_seqlens, shape, [&](int64_t begin, int64_t end, int64_t head) {
    const Matrix q = Shape::rows(q_TQD, begin, head), o = Shape::rows(out, begin, head);
    const Matrix k = Shape::rows(k_TKD, begin, shape.kv_head(head));
    const Matrix v = Shape::rows(v_TKD, begin, shape.kv_head(head));
    float* lse_row = lse.data_ptr<float>() + head * shape.tokens + begin;
    for (int64_t first = 0; first < end - begin; first += kQueryBlock) {
      const int64_t rows = std::min(kQueryBlock, end - begin - first);
      const int64_t low = first_key(first, scoring), keys = first + rows - low;
      const Matrix scores{scratch(rows * keys), keys};
      multiply_into(scores, q.row(first), kNo, k.row(low), kYes, rows, keys, D, 0);
      score_kernels().softmax(scores.data, lse_row + first, rows, keys, first + 1 - low, scoring);
      multiply_into(o.row(first), scores, kNo, v.row(low), kNo, rows, D, keys, 0);
    }
  });
  return {out, lse};
}

AttentionGradients cpu_attention_backward(const at::Tensor& dout_TQD, const at::Tensor& q_TQD,
                                          const at::Tensor& k_TKD, const at::Tensor& v_TKD,
                                          const at::Tensor& out_TQD, const at::Tensor& lse_QT,
                                          const std::vector<int64_t>& cu_seqlens,
                                          const Scoring& scoring) {
  const Shape shape(q_TQD, k_TKD);
  const int64_t D = shape.width, group = shape.heads / shape.kv_heads;
  // Keys' and values' gradients per query head, summed over the group at the end.
  const auto make_sum = scoring.window > 0 ? [](const at::Tensor& x) { return at::zeros_like(x); }
                                           : [](const at::Tensor& x) { return at::empty_like(x); };
  at::Tensor dq = at::empty_like(q_TQD), dk = make_sum(q_TQD), dv = make_sum(q_TQD);
  for_each_head(cu_seqlens, shape, [&](int64_t begin, int64_t end, int64_t head) {
    const auto of = [&](const at::Tensor& x) { return Shape::rows(x, begin, head); };
    const Matrix q = of(q_TQD), o = of(out_TQD), d_o = of(dout_TQD);
    const Matrix d_q = of(dq), d_k = of(dk), d_v = of(dv);
    const Matrix k = Shape::rows(k_TKD, begin, shape.kv_head(head));
    const Matrix v = Shape::rows(v_TKD, begin, shape.kv_head(head));
    const float* lse = lse_QT.data_ptr<float>() + head * shape.tokens + begin;
    // From the last block to the first: the last sees every key, so it writes what the others add
    // to. With a window it does not, and all add to zeros.
    const int64_t length = end - begin;
    float beta = scoring.window > 0 ? 1 : 0;
    for (int64_t first = (length - 1) / kQueryBlock * kQueryBlock; length > 0 && first >= 0;
         first -= kQueryBlock) {
      const int64_t rows = std::min(kQueryBlock, length - first);
      const int64_t low = first_key(first, scoring), keys = first + rows - low;
      float* memory = scratch(2 * kQueryBlock * length + kQueryBlock);
      float* delta = memory;
      const Matrix p{memory + kQueryBlock, keys}, ds{memory + kQueryBlock + rows * keys, keys};
      row_kernels<float>().dot_rows(delta, d_o.row(first).data, o.row(first).data, rows, o.stride,
                                    D);
      multiply_into(p, q.row(first), kNo, k.row(low), kYes, rows, keys, D, 0);
      multiply_into(ds, d_o.row(first), kNo, v.row(low), kYes, rows, keys, D, 0);
      score_kernels().softmax_backward(p.data, ds.data, lse + first, delta, rows, keys,
                                       first + 1 - low, scoring);
      multiply_into(d_q.row(first), ds, kNo, k.row(low), kNo, rows, D, keys, 0);
      multiply_into(d_k.row(low), ds, kYes, q.row(first), kNo, keys, D, rows, beta);
      multiply_into(d_v.row(low), p, kYes, d_o.row(first), kNo, keys, D, rows, beta);
      beta = 1;
    }
  });
  if (group == 1) return {dq, dk, dv};
  const auto sum_groups = [&](const at::Tensor& x) {
    return x.view({shape.tokens, shape.kv_heads, group, D}).sum(2);
  };
  return {dq, sum_groups(dk), sum_groups(dv)};
}

}  // namespace lathe
