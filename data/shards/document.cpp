#include "data/shards/document.h"

namespace lathe {

Document read_document(const Dataset& dataset, int64_t document) {
  const Dataset::Place place = dataset.place(document);
  const auto begin =
      static_cast<int64_t>(place.shard->offsets()[static_cast<size_t>(place.document)]);
  const auto length = static_cast<size_t>(dataset.length(document));
  Document read{std::vector<int64_t>(length), std::vector<uint8_t>(length)};
  place.shard->read("sequence", begin, begin + static_cast<int64_t>(length), read.ids.data(),
                    read.mask.data());
  return read;
}

}  // namespace lathe
