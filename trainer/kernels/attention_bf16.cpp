#include "trainer/kernels/attention_bf16.h"

#include <ATen/Parallel.h>

#include <array>
#include <cstring>

#include "trainer/kernels/dispatch.h"
#include "trainer/kernels/pair_product.h"

namespace lathe {
namespace {

constexpr int64_t kQueryBlock = 64;

int64_t up_to(int64_t multiple, int64_t x) { return (x + multiple - 1) / multiple * multiple; }
int64_t pairs_of(int64_t depth) { return (depth + 1) / 2; }

// Tokens of the row that are one after another among a document's keys, from `key` on.
struct Run {
  int64_t token, key, count;
};

struct Document {
  int64_t begin, end, shared;
  std::array<Run, 2> runs;  // what it shares, and its own
  int64_t own() const { return end - begin; }
  int64_t keys() const { return shared + own(); }
};

// A document and those that share its beginning, which are next to it in the row.
struct Family {
  std::vector<Document> documents;
  int64_t begin() const { return documents.front().begin; }
  int64_t tokens() const { return documents.back().end - begin(); }
};

std::vector<Family> families_of(const std::vector<int64_t>& cu_seqlens,
                                const std::vector<int64_t>& shared) {
  std::vector<Family> families;
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    const int64_t begin = cu_seqlens[d], end = cu_seqlens[d + 1],
                  again = shared.empty() ? 0 : shared[d];
    if (again == 0) families.emplace_back();
    std::vector<Document>& documents = families.back().documents;
    const int64_t first = again == 0 ? begin : documents.front().begin;
    documents.push_back(
        {begin, end, again, {Run{first, 0, again}, Run{begin, again, end - begin}}});
  }
  return families;
}

// Calls work(family, head) for all of them, among threads.
template <typename Work>
void for_each_head(const std::vector<Family>& families, const at::Tensor& q_TQD, const Work& work) {
  const auto count = static_cast<int64_t>(families.size());
  int64_t total = 0;  // multiplications of one head, about
  for (const Family& family : families) {
    for (const Document& d : family.documents) total += d.own() * d.keys() * q_TQD.size(2);
  }
  // Below some million multiplications a second thread costs more than it brings.
  const int64_t grain = 1 + 1000000 * count / std::max<int64_t>(1, total);
  at::parallel_for(0, count * q_TQD.size(1), grain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) work(families[i % count], i / count);
  });
}

// Memory of the calling thread, one for each purpose; grows, and is kept for the next call.
enum class Slot {
  kLaidKeys,
  kLaidValues,
  kKeys,
  kValues,
  kKeysAcross,
  kQueries,
  kDout,
  kScores,
  kDscores,
  kRounded,
  kPairs,
  kDpairs,
  kRows,
  kDelta,
  kDkeys,
  kDvalues,
  kCount
};

template <typename T>
T* scratch(Slot slot, int64_t count) {
  constexpr size_t kLine = 64;
  thread_local std::array<std::vector<char>, static_cast<size_t>(Slot::kCount)> slots;
  std::vector<char>& memory = slots[static_cast<size_t>(slot)];
  const size_t needed = static_cast<size_t>(count) * sizeof(T) + kLine;
  if (memory.size() < needed) memory.resize(needed);
  const auto at = reinterpret_cast<uintptr_t>(memory.data());
  return reinterpret_cast<T*>(memory.data() + (kLine - at % kLine) % kLine);
}

// One head's rows of [T, heads, D].
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  T* at(int64_t token) const { return data + token * stride; }
};

template <typename T>
Rows<T> rows_of_head(const at::Tensor& x_TND, int64_t head) {
  const int64_t width = x_TND.size(2);
  return {rows_of<T>(x_TND) + head * width, x_TND.size(1) * width};
}

// The rows of a document's keys one after another.
Rows<Bf16> laid(const Rows<Bf16>& x, const Document& document, int64_t width, Slot slot) {
  if (document.shared == 0) return {x.at(document.begin), x.stride};
  Bf16* to = scratch<Bf16>(slot, document.keys() * width);
  for (const Run& run : document.runs) {
    for (int64_t i = 0; i < run.count; ++i)
      std::memcpy(to + (run.key + i) * width, x.at(run.token + i),
                  static_cast<size_t>(width) * sizeof(Bf16));
  }
  return {to, width};
}

Panels packed(const Rows<Bf16>& x, int64_t rows, int64_t width, Slot slot) {
  const int64_t stride = pairs_of(rows) * kPanel;
  Pair* data = scratch<Pair>(slot, up_to(kPanel, width) / kPanel * stride);
  pair_kernels()->pack(data, stride, x.data, x.stride, rows, width);
  return {data, stride};
}

Panels packed_across(const Rows<Bf16>& x, int64_t rows, int64_t width, Slot slot) {
  const int64_t stride = width / 2 * kPanel;
  Pair* data = scratch<Pair>(slot, up_to(kPanel, rows) / kPanel * stride);
  pair_kernels()->pack_transposed(data, stride, x.data, x.stride, rows, width);
  return {data, stride};
}

const Pair* as_pairs(const Bf16* x) { return reinterpret_cast<const Pair*>(x); }

template <typename T>
void store(const Rows<T>& y, int64_t token, const float* x, int64_t x_stride, int64_t rows,
           int64_t width) {
  for (int64_t r = 0; r < rows; ++r)
    row_kernels<T>().narrow(y.at(token + r), x + r * x_stride, width);
}

// Some queries of a document and the keys that they see, from `low` on, which begins a panel.
struct Block {
  int64_t token, rows, low, keys, padded, visible;

  Block(const Document& document, int64_t first, const Scoring& scoring) {
    const int64_t place = document.shared + first;
    token = document.begin + first;
    rows = std::min(kQueryBlock, document.own() - first);
    low =
        scoring.window > 0 ? std::max<int64_t>(0, place + 1 - scoring.window) / kPanel * kPanel : 0;
    keys = place + rows - low;
    padded = up_to(16, keys);
    visible = place + 1 - low;
  }

  // x [rows] times all keys (values): [rows, padded].
  void scores(float* c, const Rows<Bf16>& x, const Panels& across, int64_t width) const {
    const Panels seen{across.data + low / kPanel * across.panel_stride, across.panel_stride};
    pair_kernels()->product(
        c, as_pairs(x.at(token)), seen,
        {rows, keys, width / 2, padded, x.stride / 2, 1, Unseen::kColumns, visible}, false);
  }
  // Rounded scores times values (keys): [rows, wide].
  void weigh(float* c, int64_t wide, const Bf16* scores, const Panels& down, int64_t width) const {
    const Panels seen{down.data + low / 2 * kPanel, down.panel_stride};
    pair_kernels()->product(
        c, as_pairs(scores), seen,
        {rows, width, pairs_of(keys), wide, padded / 2, 1, Unseen::kDepth, visible}, false);
  }
  // What the rows' scores, as pairs of rows, give to the keys of a run, whose sums c are.
  void give(float* c, int64_t wide, const Pair* scores, const Panels& rows_down, const Run& run,
            int64_t width) const {
    const int64_t begin = std::max(run.key, low), end = std::min(run.key + run.count, low + keys);
    if (begin >= end) return;
    const int64_t skipped = begin - low;
    pair_kernels()->product(c + (begin - run.key) * wide, scores + skipped, rows_down,
                            {end - begin, width, pairs_of(rows), wide, 1, padded,
                             Unseen::kDepthBegin, visible - skipped},
                            true);
  }
};

struct HeadInputs {
  Rows<Bf16> q, k, v;

  HeadInputs(const at::Tensor& q_TQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD,
             int64_t head) {
    const int64_t kv_head = head / (q_TQD.size(1) / k_TKD.size(1));
    q = rows_of_head<Bf16>(q_TQD, head);
    k = rows_of_head<Bf16>(k_TKD, kv_head);
    v = rows_of_head<Bf16>(v_TKD, kv_head);
  }
};

void forward_document(const Document& document, const HeadInputs& in, const Rows<Bf16>& out,
                      float* lse_T, int64_t width, const Scoring& scoring) {
  const int64_t wide = up_to(16, width);
  const Panels keys = packed_across(laid(in.k, document, width, Slot::kLaidKeys), document.keys(),
                                    width, Slot::kKeysAcross);
  const Panels values =
      packed(laid(in.v, document, width, Slot::kLaidValues), document.keys(), width, Slot::kValues);
  for (int64_t first = 0; first < document.own(); first += kQueryBlock) {
    const Block block(document, first, scoring);
    float* scores = scratch<float>(Slot::kScores, block.rows * block.padded);
    Bf16* rounded = scratch<Bf16>(Slot::kRounded, block.rows * block.padded);
    float* rows = scratch<float>(Slot::kRows, block.rows * wide);
    block.scores(scores, in.q, keys, width);
    score_kernels().softmax(scores, lse_T + block.token, block.rows, block.padded, block.visible,
                            scoring);
    pair_kernels()->narrow(rounded, nullptr, scores, block.rows, block.padded);
    block.weigh(rows, wide, rounded, values, width);
    store(out, block.token, rows, wide, block.rows, width);
  }
}

// Of one head and family: the sums of keys' and values' gradients, [tokens, wide], and the queries'
// gradient.
struct HeadGradients {
  Rows<Bf16> dout, out, dq;
  const float* lse_T;
  float *dk, *dv;
  int64_t wide;
};

void backward_document(const Document& document, const HeadInputs& in, const HeadGradients& g,
                       int64_t family_begin, int64_t width, const Scoring& scoring) {
  const int64_t wide = g.wide;
  const Rows<Bf16> k = laid(in.k, document, width, Slot::kLaidKeys),
                   v = laid(in.v, document, width, Slot::kLaidValues);
  const Panels keys_across = packed_across(k, document.keys(), width, Slot::kKeysAcross);
  const Panels values_across = packed_across(v, document.keys(), width, Slot::kValues);
  const Panels keys = packed(k, document.keys(), width, Slot::kKeys);
  for (int64_t first = 0; first < document.own(); first += kQueryBlock) {
    const Block block(document, first, scoring);
    const int64_t size = kQueryBlock * block.padded;
    float *p = scratch<float>(Slot::kScores, size), *ds = scratch<float>(Slot::kDscores, size);
    float *rows = scratch<float>(Slot::kRows, kQueryBlock * wide),
          *delta = scratch<float>(Slot::kDelta, kQueryBlock);
    Bf16* rounded = scratch<Bf16>(Slot::kRounded, size);
    Pair *pairs = scratch<Pair>(Slot::kPairs, size), *dpairs = scratch<Pair>(Slot::kDpairs, size);
    row_kernels<Bf16>().dot_rows(delta, g.dout.at(block.token), g.out.at(block.token), block.rows,
                                 g.out.stride, width);
    block.scores(p, in.q, keys_across, width);
    block.scores(ds, g.dout, values_across, width);
    score_kernels().softmax_backward(p, ds, g.lse_T + block.token, delta, block.rows, block.padded,
                                     block.visible, scoring);
    pair_kernels()->narrow(nullptr, pairs, p, block.rows, block.padded);
    pair_kernels()->narrow(rounded, dpairs, ds, block.rows, block.padded);
    block.weigh(rows, wide, rounded, keys, width);
    store(g.dq, block.token, rows, wide, block.rows, width);
    const Panels queries =
        packed({in.q.at(block.token), in.q.stride}, block.rows, width, Slot::kQueries);
    const Panels dout =
        packed({g.dout.at(block.token), g.dout.stride}, block.rows, width, Slot::kDout);
    for (const Run& run : document.runs) {
      const int64_t offset = (run.token - family_begin) * wide;
      block.give(g.dk + offset, wide, dpairs, queries, run, width);
      block.give(g.dv + offset, wide, pairs, dout, run, width);
    }
  }
}

template <typename T>
void backward_heads(const std::vector<Family>& families, const at::Tensor& dout_TQD,
                    const at::Tensor& q_TQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD,
                    const at::Tensor& out_TQD, const at::Tensor& lse_QT,
                    const AttentionGradients& d, const Scoring& scoring) {
  const int64_t width = q_TQD.size(2), wide = up_to(16, width);
  for_each_head(families, q_TQD, [&](const Family& family, int64_t head) {
    const int64_t sums = family.tokens() * wide;
    float *dk = scratch<float>(Slot::kDkeys, sums), *dv = scratch<float>(Slot::kDvalues, sums);
    std::fill_n(dk, sums, 0.0f);
    std::fill_n(dv, sums, 0.0f);
    const HeadGradients gradients{rows_of_head<Bf16>(dout_TQD, head),
                                  rows_of_head<Bf16>(out_TQD, head),
                                  rows_of_head<Bf16>(d.q_TQD, head),
                                  lse_QT.const_data_ptr<float>() + head * q_TQD.size(0),
                                  dk,
                                  dv,
                                  wide};
    const HeadInputs in(q_TQD, k_TKD, v_TKD, head);
    for (const Document& document : family.documents)
      backward_document(document, in, gradients, family.begin(), width, scoring);
    store(rows_of_head<T>(d.k_TKD, head), family.begin(), dk, wide, family.tokens(), width);
    store(rows_of_head<T>(d.v_TKD, head), family.begin(), dv, wide, family.tokens(), width);
  });
}

}  // namespace

bool has_bf16_attention(const at::Tensor& q_TQD) {
  return q_TQD.is_cpu() && q_TQD.scalar_type() == at::kBFloat16 && q_TQD.size(2) % 2 == 0 &&
         pair_kernels() != nullptr;
}

std::pair<at::Tensor, at::Tensor> bf16_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                                                 const at::Tensor& v_TKD,
                                                 const std::vector<int64_t>& cu_seqlens,
                                                 const std::vector<int64_t>& shared,
                                                 const Scoring& scoring) {
  at::Tensor out = at::empty_like(q_TQD);
  at::Tensor lse = at::empty({q_TQD.size(1), q_TQD.size(0)}, q_TQD.options().dtype(at::kFloat));
  for_each_head(families_of(cu_seqlens, shared), q_TQD, [&](const Family& family, int64_t head) {
    const HeadInputs in(q_TQD, k_TKD, v_TKD, head);
    float* lse_T = lse.data_ptr<float>() + head * q_TQD.size(0);
    for (const Document& document : family.documents)
      forward_document(document, in, rows_of_head<Bf16>(out, head), lse_T, q_TQD.size(2), scoring);
  });
  return {out, lse};
}

AttentionGradients bf16_attention_backward(const at::Tensor& dout_TQD, const at::Tensor& q_TQD,
                                           const at::Tensor& k_TKD, const at::Tensor& v_TKD,
                                           const at::Tensor& out_TQD, const at::Tensor& lse_QT,
                                           const std::vector<int64_t>& cu_seqlens,
                                           const std::vector<int64_t>& shared,
                                           const Scoring& scoring) {
  const int64_t kv_heads = k_TKD.size(1), group = q_TQD.size(1) / kv_heads;
  const std::vector<Family> families = families_of(cu_seqlens, shared);
  // Keys' and values' gradients per query head, summed over the group at the end.
  const auto type = group == 1 ? at::kBFloat16 : at::kFloat;
  const auto options = q_TQD.options().dtype(type);
  const AttentionGradients d{at::empty_like(q_TQD), at::empty(q_TQD.sizes(), options),
                             at::empty(q_TQD.sizes(), options)};
  if (group == 1) {
    backward_heads<Bf16>(families, dout_TQD, q_TQD, k_TKD, v_TKD, out_TQD, lse_QT, d, scoring);
    return d;
  }
  backward_heads<float>(families, dout_TQD, q_TQD, k_TKD, v_TKD, out_TQD, lse_QT, d, scoring);
  const auto sum_groups = [&](const at::Tensor& x) {
    return x.view({x.size(0), kv_heads, group, x.size(2)}).sum(2).to(at::kBFloat16);
  };
  return {d.q_TQD, sum_groups(d.k_TKD), sum_groups(d.v_TKD)};
}

}  // namespace lathe
