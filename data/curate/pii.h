#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What tells who somebody is, in structured form: found by its form and its checksum, never by a
// model.
namespace lathe {

enum class PiiKind { kEmail, kIp, kPhone, kIban, kCard };
inline constexpr size_t kNumPiiKinds = 5;
const char* pii_name(PiiKind kind);  // email, ip, phone, iban, card

struct PiiSpan {
  PiiKind kind;
  size_t begin = 0, size = 0;  // bytes
};

// In order, not overlapping. IP addresses are public ones only; IBANs have the right check digits
// (mod 97), cards the right length and Luhn sum; a phone number is written as one.
std::vector<PiiSpan> find_pii(std::string_view text);

// Each span becomes <EMAIL>, <IP>, ... for its kind.
std::string mask_pii(std::string_view text);

bool passes_luhn(std::string_view digits);
bool passes_mod97(std::string_view iban);  // without blanks

}  // namespace lathe
