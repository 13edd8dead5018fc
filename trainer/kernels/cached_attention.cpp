#include "trainer/kernels/cached_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "trainer/kernels/attention.h"
#include "trainer/kernels/dispatch.h"
#include "trainer/kernels/tile_product.h"

namespace lathe {
namespace {

// A layer's keys or values of a block, [K, B, D].
at::Tensor part_of(const at::Tensor& block, int64_t layer, int64_t part) {
  return block.select(0, layer).select(0, part);
}

// Any type and device, by ATen's operations.
void append_plain(const at::Tensor& x_TKD, int64_t part, const CachedKeys& past, int64_t layer) {
  for (int64_t done = 0; done < x_TKD.size(0);) {
    const int64_t at = past.length + done, B = past.blocks[0].size(3);
    const int64_t count = std::min(B - at % B, x_TKD.size(0) - done);
    part_of(past.blocks[static_cast<size_t>(at / B)], layer, part)
        .slice(1, at % B, at % B + count)
        .copy_(x_TKD.slice(0, done, done + count).transpose(0, 1));
    done += count;
  }
}

// [P, K, D]
at::Tensor gathered(const CachedKeys& past, int64_t layer, int64_t part, int64_t length) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& block : past.blocks) parts.push_back(part_of(block, layer, part));
  return at::cat(parts, 1).slice(1, 0, length).transpose(0, 1);
}

at::Tensor attention_plain(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                           const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                           const std::vector<CachedKeys>& past, int64_t layer,
                           const Scoring& scoring) {
  at::Tensor out = at::empty_like(q_TQD);
  for (size_t d = 0; d < past.size(); ++d) {
    const int64_t begin = cu_seqlens[d], end = cu_seqlens[d + 1];
    if (begin == end) continue;
    const at::Tensor q = q_TQD.slice(0, begin, end), k = k_TKD.slice(0, begin, end),
                     v = v_TKD.slice(0, begin, end);
    append_plain(k, 0, past[d], layer);
    append_plain(v, 1, past[d], layer);
    const int64_t length = past[d].length + end - begin;
    out.slice(0, begin, end)
        .copy_(past[d].length == 0
                   ? attention(q, k, v, {0, end - begin}, scoring)
                   : attention_over_past(q, gathered(past[d], layer, 0, length),
                                         gathered(past[d], layer, 1, length), scoring));
  }
  return out;
}

int64_t block_size(const std::vector<CachedKeys>& past) {
  for (const CachedKeys& keys : past) {
    if (!keys.blocks.empty()) return keys.blocks[0].size(3);
  }
  return 1;  // nobody holds anything, nobody asks anything
}

// Queries of one head that are answered together: those at positions first .. first + count - 1.
struct Piece {
  size_t document;
  int64_t first, count;
};

constexpr int64_t kQueries = 32;

// The scores of a few queries with one block of keys.
template <typename T>
void score(float* scores, const T* q, const T* keys, const TileShape& shape) {
  static const TileProduct<T, T> tiles = [] {
    if constexpr (std::is_same_v<T, float>) {
      return float_tiles();
    } else {
      return bf16_tiles();
    }
  }();
  (tiles != nullptr ? tiles : row_kernels<T>().dot_products)(scores, q, keys, shape);
}

// One layer's part of it, on rows of memory.
template <typename T>
class CachedRows {
 public:
  CachedRows(const at::Tensor& q_TQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD,
             at::Tensor& out, const std::vector<int64_t>& cu_seqlens,
             const std::vector<CachedKeys>& past, int64_t layer, const Scoring& scoring)
      : q_(rows_of<T>(q_TQD)),
        new_{rows_of<T>(k_TKD), rows_of<T>(v_TKD)},
        out_(rows_of<T>(out)),
        heads_(q_TQD.size(1)),
        kv_heads_(k_TKD.size(1)),
        width_(q_TQD.size(2)),
        block_(block_size(past)),
        cu_seqlens_(cu_seqlens),
        past_(past),
        layer_(layer),
        scoring_(scoring) {}

  void append() {
    for (size_t d = 0; d < past_.size(); ++d) {
      for (int64_t t = cu_seqlens_[d]; t < cu_seqlens_[d + 1]; ++t) {
        const int64_t at = past_[d].length + t - cu_seqlens_[d];
        for (int64_t head = 0; head < kv_heads_; ++head) {
          for (const int64_t part : {0, 1}) {
            std::copy_n(new_[part] + (t * kv_heads_ + head) * width_, width_,
                        rows(d, at / block_, head, part) + at % block_ * width_);
          }
        }
      }
    }
  }

  // Threads take (piece, head) pairs.
  void attend() {
    const std::vector<Piece> pieces = cut();
    const auto count = static_cast<int64_t>(pieces.size());
    at::parallel_for(0, count * heads_, 4, [&](int64_t first, int64_t last) {
      std::vector<float> scratch;
      for (int64_t i = first; i < last; ++i)
        attend(pieces[static_cast<size_t>(i / heads_)], i % heads_, scratch);
    });
  }

 private:
  T* rows(size_t document, int64_t block, int64_t head, int64_t part) const {
    T* memory = static_cast<T*>(past_[document].blocks[static_cast<size_t>(block)].data_ptr());
    return memory + ((layer_ * 2 + part) * kv_heads_ + head) * block_ * width_;
  }

  std::vector<Piece> cut() const {
    std::vector<Piece> pieces;
    for (size_t d = 0; d < past_.size(); ++d) {
      const int64_t begin = past_[d].length, end = begin + cu_seqlens_[d + 1] - cu_seqlens_[d];
      for (int64_t at = begin; at < end; at += kQueries)
        pieces.push_back({d, at, std::min(kQueries, end - at)});
    }
    return pieces;
  }

  void attend(const Piece& piece, int64_t head, std::vector<float>& scratch) const {
    const auto [d, first, count] = piece;
    const int64_t token = cu_seqlens_[d] + first - past_[d].length;
    const int64_t kv_head = head / (heads_ / kv_heads_), keys = first + count;
    // Blocks that no query of the piece sees any longer are left out.
    const int64_t hidden = scoring_.window > 0 ? first + 1 - scoring_.window : 0;
    const int64_t low = std::max<int64_t>(0, hidden) / block_ * block_, width = keys - low;
    scratch.resize(static_cast<size_t>(count * (width + 1) + width_));
    float *scores = scratch.data(), *lse = scores + count * width, *sums = lse + count;
    const T* q = q_ + (token * heads_ + head) * width_;
    for (int64_t at = low; at < keys; at += block_) {
      score<T>(scores + at - low, q, rows(d, at / block_, kv_head, 0),
               {count, std::min(block_, keys - at), width_, heads_ * width_, width});
    }
    score_kernels().softmax(scores, lse, count, width, first + 1 - low, scoring_);
    for (int64_t r = 0; r < count; ++r) {
      const int64_t seen = first + r + 1;
      const int64_t begin = scoring_.window > 0 ? std::max(low, seen - scoring_.window) : low;
      std::fill_n(sums, width_, 0.0f);
      for (int64_t at = begin; at < seen;) {
        const int64_t end = std::min(seen, (at / block_ + 1) * block_);
        row_kernels<T>().add_weighted(sums, scores + r * width + at - low,
                                      rows(d, at / block_, kv_head, 1) + at % block_ * width_,
                                      end - at, width_);
        at = end;
      }
      row_kernels<T>().narrow(out_ + ((token + r) * heads_ + head) * width_, sums, width_);
    }
  }

  const T* q_;
  const T* new_[2];
  T* out_;
  int64_t heads_, kv_heads_, width_, block_;
  const std::vector<int64_t>& cu_seqlens_;
  const std::vector<CachedKeys>& past_;
  int64_t layer_;
  const Scoring& scoring_;
};

}  // namespace

at::Tensor cached_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                            const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                            const std::vector<CachedKeys>& past, int64_t layer,
                            const Scoring& scoring) {
  const at::NoGradGuard no_grad;
  if (!q_TQD.is_cpu() || !use_rows(q_TQD, Path::kBest)) {
    return attention_plain(q_TQD, k_TKD, v_TKD, cu_seqlens, past, layer, scoring);
  }
  at::Tensor out = at::empty_like(q_TQD);
  if (q_TQD.size(0) == 0) return out;
  // Where there are no tiles, whole prompts are better off in blocks of queries.
  const bool in_blocks =
      float_tiles() == nullptr &&
      std::ranges::all_of(past, [](const CachedKeys& keys) { return keys.length == 0; });
  const at::Tensor q = q_TQD.contiguous(), k = k_TKD.contiguous(), v = v_TKD.contiguous();
  with_row_type(q.scalar_type(), [&](auto type) {
    CachedRows<decltype(type)> rows(q, k, v, out, cu_seqlens, past, layer, scoring);
    rows.append();
    if (!in_blocks) rows.attend();
  });
  return in_blocks ? attention(q, k, v, cu_seqlens, scoring) : out;
}

}  // namespace lathe
