#include "data/curate/filters.h"
#include "data/curate/pii.h"

namespace lathe {
namespace {

constexpr Signal kSignals[] = {{"emails", "e-mail addresses"},
                               {"ips", "public IP addresses"},
                               {"phones", "phone numbers"},
                               {"ibans", "account numbers (IBAN)"},
                               {"cards", "card numbers"}};

constexpr FilterRule kRules[] = {{"pii_email", "emails", FilterRule::kAbove, 0},
                                 {"pii_ip", "ips", FilterRule::kAbove, 0},
                                 {"pii_phone", "phones", FilterRule::kAbove, 0},
                                 {"pii_iban", "ibans", FilterRule::kAbove, 0},
                                 {"pii_card", "cards", FilterRule::kAbove, 0}};

void measure(const Measured& m, double* values) {
  for (size_t i = 0; i < kNumPiiKinds; ++i) values[i] = 0;
  for (const PiiSpan& span : find_pii(m.split.text())) ++values[static_cast<size_t>(span.kind)];
}

}  // namespace

Filter pii_filter() {
  return {"pii", 1, "e-mail, public IP, phone, IBAN and card numbers", kSignals, kRules, measure};
}

}  // namespace lathe
