#include "trainer/models/shared_beginnings.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Offsets = std::vector<int64_t>;

struct Layout {
  Offsets cu_seqlens, shared;
};

at::Tensor rows_like(const at::Tensor& x, int64_t rows) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape[0] = rows;
  return at::empty(shape, x.options());
}

at::Tensor rows(const at::Tensor& x, int64_t begin, int64_t count) {
  return x.slice(0, begin, begin + count);
}

int64_t whole_tokens(const Layout& layout) {
  return for_each_run(layout.cu_seqlens, layout.shared, [](auto...) {});
}

at::Tensor lay(const at::Tensor& x_T, const Layout& layout) {
  at::Tensor laid_W = rows_like(x_T, whole_tokens(layout));
  for_each_run(layout.cu_seqlens, layout.shared,
               [&](int64_t from, int64_t to, int64_t count, bool) {
                 rows(laid_W, to, count).copy_(rows(x_T, from, count));
               });
  return laid_W;
}

at::Tensor own(const at::Tensor& x_W, const Layout& layout) {
  at::Tensor own_T = rows_like(x_W, layout.cu_seqlens.back());
  for_each_run(layout.cu_seqlens, layout.shared,
               [&](int64_t from, int64_t to, int64_t count, bool again) {
                 if (!again) rows(own_T, from, count).copy_(rows(x_W, to, count));
               });
  return own_T;
}

// What comes back to lay's input: the gradients of both copies.
at::Tensor lay_backward(const at::Tensor& dy_W, const Layout& layout) {
  at::Tensor dx_T = own(dy_W, layout);
  for_each_run(layout.cu_seqlens, layout.shared,
               [&](int64_t from, int64_t to, int64_t count, bool again) {
                 if (again) rows(dx_T, from, count).add_(rows(dy_W, to, count));
               });
  return dx_T;
}

// What comes back to own's: nothing to what was laid again.
at::Tensor own_backward(const at::Tensor& dy_T, const Layout& layout) {
  at::Tensor dx_W = rows_like(dy_T, whole_tokens(layout));
  for_each_run(layout.cu_seqlens, layout.shared,
               [&](int64_t from, int64_t to, int64_t count, bool again) {
                 at::Tensor place = rows(dx_W, to, count);
                 again ? place.zero_() : place.copy_(rows(dy_T, from, count));
               });
  return dx_W;
}

// Slices instead of an index: they are copied and added as blocks, and always in the same order.
using Copy = at::Tensor (*)(const at::Tensor&, const Layout&);
template <Copy kForward, Copy kBackward>
struct Relaid : torch::autograd::Function<Relaid<kForward, kBackward>> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Offsets& cu_seqlens,
                            const Offsets& shared) {
    ctx->saved_data["cu_seqlens"] = cu_seqlens;
    ctx->saved_data["shared"] = shared;
    return kForward(x, {cu_seqlens, shared});
  }

  static variable_list backward(AutogradContext* ctx, variable_list dy) {
    const Layout layout{ctx->saved_data["cu_seqlens"].toIntVector(),
                        ctx->saved_data["shared"].toIntVector()};
    return {kBackward(dy[0], layout), {}, {}};
  }
};
using LayWhole = Relaid<lay, lay_backward>;
using TakeOwn = Relaid<own, own_backward>;

Offsets whole_offsets(const Offsets& cu_seqlens, const Offsets& shared) {
  Offsets offsets{0};
  for_each_run(cu_seqlens, shared, [&](int64_t, int64_t to, int64_t count, bool again) {
    if (!again) offsets.push_back(to + count);
  });
  return offsets;
}

}  // namespace

at::Tensor attention_of_sharing(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                                const at::Tensor& v_TKD, const Offsets& cu_seqlens,
                                const Offsets& shared, const Scoring& scoring) {
  if (shared.empty()) return attention(q_TQD, k_TKD, v_TKD, cu_seqlens, scoring);
  if (can_attend_shared(q_TQD))
    return attention_to_shared(q_TQD, k_TKD, v_TKD, cu_seqlens, shared, scoring);
  const auto laid = [&](const at::Tensor& x) { return LayWhole::apply(x, cu_seqlens, shared); };
  const at::Tensor out_WQD =
      attention(laid(q_TQD), laid(k_TKD), laid(v_TKD), whole_offsets(cu_seqlens, shared), scoring);
  return take_own(out_WQD, cu_seqlens, shared);
}

Batch whole_documents(const Batch& batch) {
  Batch whole;
  whole.tokens = lay(batch.tokens, {batch.cu_seqlens, batch.shared});
  whole.positions = lay(batch.positions, {batch.cu_seqlens, batch.shared});
  whole.cu_seqlens = whole_offsets(batch.cu_seqlens, batch.shared);
  return whole;
}

at::Tensor take_own(const at::Tensor& x_W, const Offsets& cu_seqlens, const Offsets& shared) {
  return TakeOwn::apply(x_W, cu_seqlens, shared);
}

}  // namespace lathe
