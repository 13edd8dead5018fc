#pragma once

#include <vector>

#include "data/shards/dataset.h"

namespace lathe {

// A document of a data set as it lies there.
struct Document {
  std::vector<int64_t> ids;
  std::vector<uint8_t> mask;  // of each id, whether it is trained
};

Document read_document(const Dataset& dataset, int64_t document);

}  // namespace lathe
