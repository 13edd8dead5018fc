#include "trainer/text_lines.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/corpus/lines.h"

namespace lathe {

void for_each_line(const std::string& path,
                   const std::function<void(std::string_view line)>& take) {
  InputFile file(path == "-" ? "/dev/stdin" : path);
  LineReader reader(file);
  while (const std::optional<std::string_view> line = reader.next()) {
    if (line->find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto fail = [&](const std::exception& error) {
      throw std::invalid_argument(path + ":" + std::to_string(reader.line()) + ": " + error.what());
    };
    try {
      take(*line);
    } catch (const nlohmann::json::exception& error) {
      fail(error);
    } catch (const std::invalid_argument& error) {
      fail(error);
    }
  }
}

}  // namespace lathe
