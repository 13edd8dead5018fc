#pragma once

#include <filesystem>
#include <string>

// The reference material beside the checkout (../shared). A test that needs it begins with
//   if (!have_shared("fixtures/models/llama")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
namespace lathe {

inline std::string shared_path(const std::string& relative) {
  return std::string(LATHE_SOURCE_DIR) + "/../shared/" + relative;
}
inline bool have_shared(const std::string& relative) { return std::filesystem::exists(shared_path(relative)); }

}  // namespace lathe
