#include "data/tokenize/bpe.h"

// Bpe::encode_together() for processors with AVX512: a word lies in one register, a piece a lane,
// and the ranks of its pairs in another. A step is the least rank, taking one lane out, and two
// look-ups that were fetched a round before; no step has a branch that the word decides.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>

// g++ 12 takes the undefined registers in its own header for an oversight.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

namespace lathe {

#define LATHE_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,bmi")))

class Bpe::Lanes {
 public:
  Lanes() { ids_[16] = MergeTable::kNoToken; }

  // False: the word is through, its tokens are what it begins with.
  LATHE_AVX512 bool begin(const Bpe& bpe, std::string_view word) {
    const auto size = static_cast<uint32_t>(word.size());
    const __m128i bytes =
        _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << size) - 1), word.data());
    if (_mm_movepi8_mask(bytes) != 0) return begin_with(bpe, word);
    count_ = size;
    // Lane 0 has no piece, so that each piece has a neighbour on either side.
    const __m512i behind = _mm512_cvtepu8_epi32(bytes);
    const __m512i piece = _mm512_cvtepu8_epi32(_mm_bslli_si128(bytes, 1));
    const __m512i pair = _mm512_add_epi32(_mm512_slli_epi32(piece, 7), behind);
    const auto pieces = static_cast<__mmask16>((2u << size) - 2);
    const auto pairs = static_cast<__mmask16>((1u << size) - 2);
    _mm512_store_si512(ids_, _mm512_mask_i32gather_epi32(_mm512_set1_epi32(kNoId), pieces, piece,
                                                         bpe.starts_.data(), 4));
    return join(bpe.table_, _mm512_mask_i32gather_epi32(_mm512_set1_epi32(-1), pairs, pair,
                                                        bpe.first_ranks_.data(), 4));
  }

  // Looks up the pairs that the last join made, and joins the pair whose turn it is. False: none.
  LATHE_AVX512 bool step(const MergeTable& table) {
    __m512i ranks = _mm512_load_si512(ranks_);
    ranks = _mm512_mask_set1_epi32(ranks, static_cast<__mmask16>(1u << at_ >> 1),
                                   static_cast<int>(find(table, before_)));
    ranks = _mm512_mask_set1_epi32(ranks, static_cast<__mmask16>(1u << at_),
                                   static_cast<int>(find(table, behind_)));
    return join(table, ranks);
  }

  LATHE_AVX512 void put(ShortIds& result) const {
    result.count = count_;
    _mm512_storeu_si512(result.ids, _mm512_loadu_si512(ids_ + 1));
  }

 private:
  static constexpr int kNoId = static_cast<int>(MergeTable::kNoToken);
  struct LookUp {
    uint64_t key;
    const MergeTable::Line* line;
  };

  LATHE_AVX512 static uint32_t find(const MergeTable& table, const LookUp& wanted) {
    const __m512i entries = _mm512_load_si512(wanted.line->entries);
    const __mmask8 found =
        _mm512_cmpeq_epi64_mask(_mm512_srli_epi64(entries, MergeTable::kRankBits),
                                _mm512_set1_epi64(static_cast<long long>(wanted.key)));
    const bool full = _mm512_test_epi64_mask(entries, entries) == 0xFF;
    if (found == 0 && full) [[unlikely]]
      return table.find(wanted.key);
    // Nothing found is 0, one below the first rank.
    const __m512i entry = _mm512_maskz_compress_epi64(found, entries);
    const auto low = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm512_castsi512_si128(entry)));
    return static_cast<uint32_t>(low & MergeTable::kRankMask) - 1;
  }

  LATHE_AVX512 bool join(const MergeTable& table, __m512i ranks) {
    const uint32_t rank = _mm512_reduce_min_epu32(ranks);
    if (rank == MergeTable::kNone) return false;
    const __mmask16 least =
        _mm512_cmpeq_epi32_mask(ranks, _mm512_set1_epi32(static_cast<int>(rank)));
    at_ = static_cast<uint32_t>(__builtin_ctz(least));  // the leftmost of equals
    const uint32_t id = table.id_of(rank);
    before_ = look_up(table, ids_[at_ - 1], id);
    behind_ = look_up(table, id, ids_[at_ + 2]);
    const auto stay = static_cast<__mmask16>(~(2u << at_));
    const __m512i ids =
        _mm512_mask_compress_epi32(_mm512_set1_epi32(kNoId), stay, _mm512_load_si512(ids_));
    _mm512_store_si512(
        ids_, _mm512_mask_set1_epi32(ids, static_cast<__mmask16>(1u << at_), static_cast<int>(id)));
    _mm512_store_si512(ranks_, _mm512_mask_compress_epi32(_mm512_set1_epi32(-1), stay, ranks));
    --count_;
    return true;
  }

  static LookUp look_up(const MergeTable& table, uint32_t left, uint32_t right) {
    const uint64_t key = MergeTable::key_of(left, right);
    const MergeTable::Line* line = table.line_of(key);
    __builtin_prefetch(line);
    return {key, line};
  }

  LATHE_AVX512 bool begin_with(const Bpe& bpe, std::string_view word) {
    int32_t pieces[kMaxTogetherBytes];
    count_ = static_cast<uint32_t>(bpe.begin_ids(word, pieces));
    std::fill_n(ids_, 16, MergeTable::kNoToken);
    std::fill_n(ranks_, 16, MergeTable::kNone);
    for (uint32_t i = 0; i < count_; ++i) ids_[i + 1] = static_cast<uint32_t>(pieces[i]);
    for (uint32_t i = 1; i < count_; ++i)
      ranks_[i] = bpe.table_.find(MergeTable::key_of(ids_[i], ids_[i + 1]));
    return join(bpe.table_, _mm512_load_si512(ranks_));
  }

  alignas(64) uint32_t ids_[17];  // the first and the last are none
  alignas(64) uint32_t ranks_[16];
  uint32_t count_, at_;
  LookUp before_, behind_;
};

void Bpe::prepare_lanes(const TokenizerSpec& spec) {
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") ||
      !__builtin_cpu_supports("avx512dq"))
    return;
  table_ = MergeTable(spec.merges);
  if (table_.empty()) return;
  first_ranks_.resize(128 * 128);
  for (size_t left = 0; left < 128; ++left) {
    for (size_t right = 0; right < 128; ++right) {
      first_ranks_[left << 7 | right] = table_.find(MergeTable::key_of(
          static_cast<uint32_t>(starts_[left]), static_cast<uint32_t>(starts_[right])));
    }
  }
}

LATHE_AVX512 void Bpe::encode_in_lanes(std::span<const std::string_view> words,
                                       ShortIds* ids) const {
  constexpr size_t kTogether = 16;
  Lanes lanes[kTogether];
  size_t word_of[kTogether];
  size_t going[kTogether];  // the first num_going of them
  size_t num_going = 0, next = 0;
  // The next word that is not through at once.
  const auto begin = [&](size_t slot) LATHE_AVX512 {
    while (next < words.size()) {
      word_of[slot] = next;
      if (lanes[slot].begin(*this, words[next++])) return true;
      lanes[slot].put(ids[word_of[slot]]);
    }
    return false;
  };
  while (num_going < kTogether && begin(num_going)) {
    going[num_going] = num_going;
    ++num_going;
  }
  while (num_going > 0) {
    for (size_t i = 0; i < num_going;) {
      const size_t slot = going[i];
      if (lanes[slot].step(table_)) {
        ++i;
        continue;
      }
      lanes[slot].put(ids[word_of[slot]]);
      if (!begin(slot)) going[i] = going[--num_going];
    }
  }
}

}  // namespace lathe

#else
namespace lathe {
void Bpe::prepare_lanes(const TokenizerSpec&) {}
void Bpe::encode_in_lanes(std::span<const std::string_view>, ShortIds*) const {}
}  // namespace lathe
#endif
