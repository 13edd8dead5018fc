#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <bit>

#include "trainer/kernels/adamw.h"
#include "trainer/optimizers/blockwise.h"
#include "trainer/optimizers/optimizers.h"
#include "trainer/optimizers/slice_optimizer.h"
#include "trainer/philox.h"

// The fused AdamW on pieces of a few thousand numbers, unpacked before and packed again after.
namespace lathe {
namespace {

constexpr int64_t kPiece = 4096;
// Smaller tensors keep float32 moments, as bitsandbytes has it.
constexpr int64_t kLeastPacked = 4096;

// A moment of one slice, in one of three kinds of storage.
class Moment {
 public:
  enum class Kind { kFloat, kBFloat16, kBlocks };

  Moment(Kind kind, int64_t n, const BlockCode& code) : kind_(kind), code_(&code) {
    if (kind == Kind::kFloat) whole_ = at::zeros({n}, at::kFloat);
    if (kind == Kind::kBFloat16) whole_ = at::zeros({n}, at::kBFloat16);
    if (kind == Kind::kBlocks) {
      whole_ = at::full({n}, code.zero(), at::kByte);
      scales_ = at::zeros({(n + kStateBlock - 1) / kStateBlock}, at::kFloat);
    }
  }

  void unpack(int64_t begin, int64_t n, float* out) const {
    if (kind_ != Kind::kBlocks) {
      at::from_blob(out, {n}, at::kFloat).copy_(whole_.narrow(0, begin, n));
      return;
    }
    for (int64_t i = 0; i < n; i += kStateBlock) {
      code_->decode(codes() + begin + i, std::min(kStateBlock, n - i),
                    scales()[(begin + i) / kStateBlock], out + i);
    }
  }

  void pack(int64_t begin, int64_t n, float* in) {
    if (kind_ != Kind::kBlocks) {
      whole_.narrow(0, begin, n).copy_(at::from_blob(in, {n}, at::kFloat));
      return;
    }
    for (int64_t i = 0; i < n; i += kStateBlock) {
      scales()[(begin + i) / kStateBlock] =
          code_->encode(in + i, std::min(kStateBlock, n - i), codes() + begin + i);
    }
  }

  // What a checkpoint holds: codes as numbers, and the blocks' scales.
  at::Tensor staged() const { return whole_.to(at::kFloat, false, true); }
  void load(const at::Tensor& staged) { whole_.copy_(staged); }
  bool is_plain() const { return kind_ == Kind::kFloat; }
  bool in_blocks() const { return kind_ == Kind::kBlocks; }
  const at::Tensor& whole() const { return whole_; }
  const at::Tensor& block_scales() const { return scales_; }

 private:
  uint8_t* codes() const { return whole_.data_ptr<uint8_t>(); }
  float* scales() const { return scales_.data_ptr<float>(); }

  Kind kind_;
  const BlockCode* code_;
  at::Tensor whole_, scales_;
};

// x to bfloat16, up with the probability of how far it lies above the lower neighbour.
uint16_t rounded_by_chance(float x, uint32_t bits16) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + (bits16 & 0xffffu)) >> 16);
}

class PackedAdamW final : public SliceOptimizer {
 public:
  PackedAdamW(const OptimizerConfig& config, Sharding& sharding)
      : SliceOptimizer(config, sharding, !config.stochastic_rounding) {
    for (const Slice& slice : slices()) {
      int64_t whole = 1;
      for (const int64_t size : slice.shape) whole *= size;
      const Moment::Kind kind = config.optim != "adamw_8bit" ? state_kind(config)
                                : whole < kLeastPacked       ? Moment::Kind::kFloat
                                                             : Moment::Kind::kBlocks;
      first_.emplace_back(kind, slice.value.numel(), signed_);
      second_.emplace_back(kind, slice.value.numel(), unsigned_);
    }
  }

 protected:
  void update_all(const Update& update) override {
    staged_.clear();
    for (size_t i = 0; i < slices().size(); ++i) {
      const int64_t n = slices()[i].value.numel();
      const double rate = update.learning_rate * rate_scale(i);
      const AdamWScalars scalars =
          adamw_scalars(rate, config_.adam_beta1, config_.adam_beta2, config_.adam_epsilon,
                        update.clip_factor, update.number);
      at::parallel_for(0, (n + kPiece - 1) / kPiece, 4, [&](int64_t from, int64_t to) {
        for (int64_t piece = from; piece < to; ++piece) {
          const int64_t begin = piece * kPiece;
          update_piece(i, begin, std::min(kPiece, n - begin), scalars,
                       static_cast<float>(1 - rate * decay(i)), update.number);
        }
      });
    }
  }

  void stage(std::vector<std::vector<StateSlice>>& all) override {
    staged_.assign(2 * slices().size(), {});
    for (size_t i = 0; i < slices().size(); ++i) {
      stage(first_[i], "exp_avg", i, staged_[2 * i], all[i]);
      stage(second_[i], "exp_avg_sq", i, staged_[2 * i + 1], all[i]);
    }
  }

  void unstage() override {
    for (size_t i = 0; i < staged_.size(); ++i) {
      Moment& moment = i % 2 == 0 ? first_[i / 2] : second_[i / 2];
      if (!moment.is_plain()) moment.load(staged_[i]);
    }
    staged_.clear();
  }

 private:
  static Moment::Kind state_kind(const OptimizerConfig& config) {
    return config.optim_state_dtype == "bf16" ? Moment::Kind::kBFloat16 : Moment::Kind::kFloat;
  }

  void stage(const Moment& moment, const std::string& kind, size_t slice, at::Tensor& held,
             std::vector<StateSlice>& all) {
    held = moment.is_plain() ? moment.whole() : moment.staged();
    all.push_back(state_of(slice, moment.in_blocks() ? kind + "_code" : kind, held));
    if (!moment.in_blocks()) return;
    StateSlice scales = state_of(slice, kind + "_scale", moment.block_scales());
    int64_t whole = 1;
    for (const int64_t size : scales.shape) whole *= size;
    scales.shape = {(whole + kStateBlock - 1) / kStateBlock};
    scales.offset /= kStateBlock;
    all.push_back(scales);
  }

  void update_piece(size_t i, int64_t begin, int64_t n, const AdamWScalars& scalars, float keep,
                    int64_t number) {
    const Slice& slice = slices()[i];
    float exp_avg[kPiece], exp_avg_sq[kPiece], value[kPiece];
    first_[i].unpack(begin, n, exp_avg);
    second_[i].unpack(begin, n, exp_avg_sq);
    const bool bf16 = slice.value.scalar_type() == at::kBFloat16;
    auto* typed = bf16 ? static_cast<uint16_t*>(slice.value.data_ptr()) + begin : nullptr;
    const bool has_master = master(i).defined();
    float* at = has_master ? master(i).data_ptr<float>() + begin : value;
    if (!has_master) {
      for (int64_t j = 0; j < n; ++j) value[j] = std::bit_cast<float>(uint32_t{typed[j]} << 16);
    }
    const AdamWSlice run{.master = at,
                         .exp_avg = exp_avg,
                         .exp_avg_sq = exp_avg_sq,
                         .grad = slice.grad.data_ptr<float>() + begin,
                         .value_bf16 = has_master ? typed : nullptr,
                         .n = n,
                         .keep = keep};
    adamw({&run, 1}, scalars);
    first_[i].pack(begin, n, exp_avg);
    second_[i].pack(begin, n, exp_avg_sq);
    if (!has_master) round_piece(slice, begin, n, value, typed, number);
  }

  // Keyed by the weight's name and place, and by the update: never by rank.
  static void round_piece(const Slice& slice, int64_t begin, int64_t n, const float* value,
                          uint16_t* out, int64_t number) {
    const uint64_t name = hash_name(slice.name);
    for (int64_t j = 0; j < n; ++j) {
      const int64_t place = slice.offset + begin + j;
      const auto bits = philox(name, place / 8, static_cast<uint64_t>(number));
      out[j] = rounded_by_chance(value[j], bits[place % 8 / 2] >> (16 * (place % 2)));
    }
  }

  const BlockCode signed_{true}, unsigned_{false};
  std::vector<Moment> first_, second_;
  std::vector<at::Tensor> staged_;
};

}  // namespace

std::unique_ptr<Optimizer> make_packed_adamw(const OptimizerConfig& config, Sharding& sharding) {
  return std::make_unique<PackedAdamW>(config, sharding);
}

}  // namespace lathe
