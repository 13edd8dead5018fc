#pragma once

#include <string_view>

namespace lathe {

// The number at a key of a JSON record, of keys within keys with dots between: "curated.order". A
// text that is a number counts, as the cells of a CSV file are texts. Throws std::invalid_argument
// "field: found ..., expected ..." where there is none.
double number_at(std::string_view record, std::string_view path);

}  // namespace lathe
