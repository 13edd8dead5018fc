#include "trainer/lora_init.h"

#include <ATen/ATen.h>

#include <charconv>
#include <cmath>
#include <stdexcept>

#include "trainer/philox.h"

namespace lathe {
namespace {

constexpr std::string_view kIterated = "pissa_niter_";

template <class Draw>
at::Tensor filled(at::IntArrayRef shape, uint64_t seed, uint64_t stream, const Draw& draw) {
  at::Tensor values = at::empty(shape, at::kFloat);
  float* out = values.mutable_data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); i += 4) {
    const auto four = draw(philox(seed, i / 4, stream));
    for (int64_t j = i; j < std::min(values.numel(), i + 4); ++j)
      out[j] = static_cast<float>(four[j - i]);
  }
  return values;
}

at::Tensor uniform(const Parameter& p, double limit, uint64_t seed) {
  return filled(p.whole_shape(), seed, hash_name(p.name), [&](const auto& bits) {
    std::array<double, 4> four;
    for (int i = 0; i < 4; ++i) four[i] = limit * (2 * uniform_from(bits[i]) - 1);
    return four;
  });
}

at::Tensor normal(at::IntArrayRef shape, const std::string& name, uint64_t seed) {
  return filled(shape, seed, hash_name(name), [](const auto& bits) { return normals_from(bits); });
}

int64_t rounds_of(const std::string& how) {
  int64_t rounds = 0;
  const char* end = how.data() + how.size();
  const auto [read, error] = std::from_chars(how.data() + kIterated.size(), end, rounds);
  if (error == std::errc() && read == end && rounds >= 1 && rounds <= 1000) return rounds;
  throw std::invalid_argument("lora.init_lora_weights is `" + how +
                              "`; expected pissa_niter_<rounds>, as pissa_niter_16");
}

struct Factors {
  at::Tensor u_OR, s_R, v_RI;
};

// Subspace iteration (Halko et al. 2011, arXiv:0909.4061), with a few columns to spare.
Factors iterated_svd(const at::Tensor& w_OI, int64_t rank, int64_t rounds, const std::string& name,
                     uint64_t seed) {
  const int64_t columns = std::min({rank + 8, w_OI.size(0), w_OI.size(1)});
  const auto orthogonal = [](const at::Tensor& x) { return std::get<0>(at::linalg_qr(x)); };
  at::Tensor q = orthogonal(at::mm(w_OI, normal({w_OI.size(1), columns}, name, seed)));
  for (int64_t i = 0; i < rounds; ++i)
    q = orthogonal(at::mm(w_OI, orthogonal(at::mm(w_OI.t(), q))));
  const auto [u, s, v] = at::linalg_svd(at::mm(q.t(), w_OI), false);
  return {at::mm(q, u).narrow(1, 0, rank), s.narrow(0, 0, rank), v.narrow(0, 0, rank)};
}

void init_pissa(const LoraWeights& lora, const LinearWeights& base, const std::string& how,
                uint64_t seed) {
  at::Tensor w_OI = base.weight->value.detach().cpu().to(at::kFloat);
  if (base.transposed) w_OI = w_OI.t();
  const int64_t rank = lora.a->value.size(0);
  if (rank > std::min(w_OI.size(0), w_OI.size(1))) {
    throw std::invalid_argument("lora: rank " + std::to_string(rank) + " of " + lora.a->name +
                                " is more than the weight has; PiSSA can not begin there");
  }
  Factors f;
  if (how == "pissa") {
    const auto [u, s, v] = at::linalg_svd(w_OI, false);
    f = {u.narrow(1, 0, rank), s.narrow(0, 0, rank), v.narrow(0, 0, rank)};
  } else {
    f = iterated_svd(w_OI, rank, rounds_of(how), lora.a->name, seed);
  }
  const at::Tensor root_R = (f.s_R / lora.scale).sqrt();
  lora.a->value.copy_(root_R.unsqueeze(1) * f.v_RI);
  lora.b->value.copy_(f.u_OR * root_R);
  base.weight->value.copy_(base.weight->value.to(at::kFloat) - lora_delta(base, lora));
}

}  // namespace

void init_lora(const LoraWeights& lora, const LinearWeights& base, const std::string& how,
               uint64_t seed) {
  const at::NoGradGuard no_grad;
  const at::Tensor a_RI = lora.a->value.detach();
  const std::vector<int64_t> whole = lora.a->whole_shape();
  if (how == "true") {
    const double limit = 1 / std::sqrt(static_cast<double>(whole[1]));
    a_RI.copy_(part_of(uniform(*lora.a, limit, seed), lora.a->cut));
  } else if (how == "gaussian") {
    const at::Tensor draws = normal(whole, lora.a->name, seed);
    a_RI.copy_(part_of(draws, lora.a->cut) / static_cast<double>(whole[0]));
  } else if (how == "pissa" || how.starts_with(kIterated)) {
    init_pissa(lora, base, how, seed);
  } else {
    throw std::invalid_argument("lora.init_lora_weights is `" + how +
                                "`; expected true, gaussian, pissa or pissa_niter_<rounds>");
  }
}

}  // namespace lathe
