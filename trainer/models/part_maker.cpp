#include "trainer/models/parts.h"

#include <sys/mman.h>

namespace lathe {
namespace {

// A weight's memory, unfilled. Large ones wish for pages of 2 MiB: one read of a model for each new
// token would otherwise wait for the pages' addresses too.
at::Tensor weight_memory(const std::vector<int64_t>& shape, const at::TensorOptions& options) {
  constexpr uintptr_t kPage = 4096, kLarge = uintptr_t{1} << 20;
  const at::Tensor value = at::empty(shape, options);
  if (value.is_cpu() && value.nbytes() >= kLarge) {
    const auto begin = reinterpret_cast<uintptr_t>(value.data_ptr()), end = begin + value.nbytes();
    const uintptr_t first = (begin + kPage - 1) / kPage * kPage, last = end / kPage * kPage;
    ::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // a wish, not a need
  }
  return value.set_requires_grad(true);
}

}  // namespace

Parameter PartMaker::parameter(const std::string& name, std::vector<int64_t> shape) const {
  const at::Tensor value = weight_memory(shape, options);
  return {.name = name, .value = value, .grad = {}, .cut = tp.copy(std::move(shape))};
}

Parameter PartMaker::part(const std::string& name, std::vector<int64_t> shape, int64_t dim,
                          const Runs& runs) const {
  const Cut cut = tp.cut(shape, dim, runs);
  if (!cut.runs.empty()) shape = cut.part_shape();
  const at::Tensor value = weight_memory(shape, options);
  // Each of the ranks that a key head serves adds to its gradient.
  const bool partial = std::ranges::any_of(runs, [](const CutRun& run) { return run.shared; });
  return {.name = name, .value = value, .grad = {}, .cut = cut, .partial = partial};
}

Parameter PartMaker::table(const std::string& name, int64_t vocabulary, int64_t width) const {
  return part(name, {vocabulary, width}, 0, {tp.share(vocabulary)});
}

LinearLayer PartMaker::by_outputs(const std::string& name, int64_t out, int64_t in, bool bias,
                                  const Runs& runs, bool transposed) const {
  LinearLayer layer{.weight = transposed ? part(name + ".weight", {in, out}, 1, runs)
                                         : part(name + ".weight", {out, in}, 0, runs),
                    .bias = {},
                    .transposed = transposed};
  if (bias) layer.bias = part(name + ".bias", {out}, 0, runs);
  return layer;
}

LinearLayer PartMaker::by_inputs(const std::string& name, int64_t out, int64_t in, bool bias,
                                 const Runs& runs, bool transposed) const {
  LinearLayer layer{.weight = transposed ? part(name + ".weight", {in, out}, 0, runs)
                                         : part(name + ".weight", {out, in}, 1, runs),
                    .bias = {},
                    .transposed = transposed};
  layer.summand = !layer.weight.cut.is_whole();
  if (!bias) return layer;
  layer.bias = parameter(name + ".bias", {out});
  layer.bias->partial = tp.shares_tokens();
  return layer;
}

NormLayer PartMaker::norm(const std::string& name, int64_t width, const RmsNorm& norm) const {
  NormLayer layer{parameter(name + ".weight", {width}), norm};
  layer.weight.partial = tp.shares_tokens();
  return layer;
}

CutRun PartMaker::heads(int64_t count, int64_t head_dim, int64_t begin) const {
  CutRun run = tp.share(count, head_dim);
  run.begin += begin;
  run.end += begin;
  return run;
}

}  // namespace lathe
