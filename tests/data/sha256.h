#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

// SHA-256 (FIPS 180-4), for golden sums of token ids.
namespace lathe {

inline std::string sha256_hex(const std::string& message) {
  static const std::array<uint32_t, 64> k = [] {
    // The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    std::array<uint32_t, 64> result{};
    int count = 0;
    for (uint64_t n = 2; count < 64; ++n) {
      bool prime = true;
      for (uint64_t d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
      if (!prime) continue;
      // floor(cbrt(n) * 2^32) by bisection, in 128 bits.
      uint64_t low = 0, high = uint64_t{8} << 32;
      while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        const auto m = static_cast<unsigned __int128>(middle);
        (m * m * m > static_cast<unsigned __int128>(n) << 96 ? high : low) = middle;
      }
      result[count++] = static_cast<uint32_t>(low);
    }
    return result;
  }();
  std::array<uint32_t, 8> h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::string data = message + '\x80';
  while (data.size() % 64 != 56) data.push_back('\0');
  for (int i = 7; i >= 0; --i)
    data.push_back(static_cast<char>(uint64_t{message.size()} * 8 >> 8 * i));
  for (size_t block = 0; block < data.size(); block += 64) {
    std::array<uint32_t, 64> w;
    for (int i = 0; i < 64; ++i) {
      const auto byte = [&](int j) {
        return static_cast<uint32_t>(static_cast<unsigned char>(data[block + 4 * i + j]));
      };
      const auto sigma = [](uint32_t x, int a, int b, int c) {
        return std::rotr(x, a) ^ std::rotr(x, b) ^ x >> c;
      };
      w[i] = i < 16
                 ? byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3)
                 : w[i - 16] + sigma(w[i - 15], 7, 18, 3) + w[i - 7] + sigma(w[i - 2], 17, 19, 10);
    }
    std::array<uint32_t, 8> s = h;
    for (int i = 0; i < 64; ++i) {
      const uint32_t e = std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25);
      const uint32_t t1 = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
      const uint32_t a = std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22);
      const uint32_t t2 = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      s = {t1 + t2, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
    }
    for (int i = 0; i < 8; ++i) h[i] += s[i];
  }
  std::string hex;
  for (const uint32_t word : h) {
    for (int shift = 28; shift >= 0; shift -= 4)
      hex.push_back("0123456789abcdef"[word >> shift & 15]);
  }
  return hex;
}

}  // namespace lathe
