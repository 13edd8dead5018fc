#include "data/jinja/error.h"

namespace lathe::jinja {

Error::Error(const std::string& where, Position at, const std::string& message)
    : std::invalid_argument(where + ":" + std::to_string(at.line) + ":" +
                            std::to_string(at.column) + ": " + message),
      at_(at),
      message_(message) {}

}  // namespace lathe::jinja
