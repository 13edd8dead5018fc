#pragma once

namespace lathe {

// The scalar of shards that a loader may order documents by.
inline constexpr const char* kOrderScalar = "order";

}  // namespace lathe
