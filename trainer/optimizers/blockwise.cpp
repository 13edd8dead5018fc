#include "trainer/optimizers/blockwise.h"

#include <algorithm>
#include <cmath>

namespace lathe {

// Seven decades. Decade i from 10^(i-7) to 10^(i-6) is cut into 2^i parts (twice as many without a
// sign), each stood for by its middle.
std::array<float, 256> dynamic_code(bool is_signed) {
  std::array<float, 256> code{};
  size_t at = 0;
  for (int decade = 0; decade < 7; ++decade) {
    const int parts = 1 << (is_signed ? decade : decade + 1);
    const double power = std::pow(10.0, decade - 6);
    // The reference's steps, in float32 as it has them.
    const auto edge = [&](int i) {
      const float step = 0.9f / static_cast<float>(parts);
      return i < (parts + 1) / 2 ? 0.1f + step * static_cast<float>(i)
                                 : 1.0f - step * static_cast<float>(parts - i);
    };
    for (int i = 0; i < parts; ++i) {
      const float middle = (edge(i) + edge(i + 1)) / 2.0f;
      const auto value = static_cast<float>(power * static_cast<double>(middle));
      code[at++] = value;
      if (is_signed) code[at++] = -value;
    }
  }
  code[at++] = 0;
  code[at++] = 1;
  std::ranges::sort(code);
  return code;
}

BlockCode::BlockCode(bool is_signed) : code_(dynamic_code(is_signed)) {
  for (size_t i = 0; i < middles_.size(); ++i) middles_[i] = (code_[i] + code_[i + 1]) / 2;
  for (int key = kFirstKey; key <= kLastKey; ++key) {
    // What is below the first key is with it, down to 0.
    const auto bits = static_cast<uint32_t>(key) << 16;
    const float least = key == kFirstKey ? 0 : std::bit_cast<float>(bits);
    const float most = std::bit_cast<float>(bits | 0xffffu);
    const auto at = static_cast<size_t>(key - kFirstKey);
    first_[0][at] = std::min<uint8_t>(search(least), 254);
    first_[1][at] = std::min<uint8_t>(search(-most), 254);
  }
  zero_ = nearest(0);
}

uint8_t BlockCode::search(float x) const {
  return static_cast<uint8_t>(std::lower_bound(middles_.begin(), middles_.end(), x) -
                              middles_.begin());
}

float BlockCode::encode(const float* values, int64_t n, uint8_t* codes) const {
  // Eight maxima side by side, which makes vector code.
  float lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t k = 0; k < 8; ++k) {
      const float size = std::abs(values[i + k]);
      lanes[k] = lanes[k] < size ? size : lanes[k];
    }
  }
  float largest = *std::max_element(lanes, lanes + 8);
  for (; i < n; ++i) largest = std::max(largest, std::abs(values[i]));
  const float inverse = largest > 0 ? 1 / largest : 0;
  for (i = 0; i < n; ++i) codes[i] = nearest(values[i] * inverse);
  return largest;
}

void BlockCode::decode(const uint8_t* codes, int64_t n, float scale, float* values) const {
  for (int64_t i = 0; i < n; ++i) values[i] = code_[codes[i]] * scale;
}

}  // namespace lathe
