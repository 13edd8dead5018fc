// Any bytes as a template: it is refused or it renders, within small limits.
//   clang++-14 -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I. data/jinja/*.cpp
//   tests/fuzz/jinja_fuzz.cpp -lutf8proc
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string_view>

#include "data/jinja/error.h"
#include "data/jinja/template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const nlohmann::ordered_json context = {{"messages",
                                           {{{"role", "system"}, {"content", "Be brief."}},
                                            {{"role", "user"}, {"content", "Was heißt 你好?"}},
                                            {{"role", "assistant"}, {"content", "hello"}}}},
                                          {"tools", nullptr},
                                          {"bos_token", "<s>"},
                                          {"eos_token", "</s>"},
                                          {"add_generation_prompt", true},
                                          {"n", 7},
                                          {"x", 2.5}};
  lathe::jinja::RenderOptions options;
  options.limits.steps = 20'000;
  options.limits.bytes = 1 << 20;
  options.limits.output_bytes = 1 << 16;
  options.now = std::tm{};
  try {
    const std::string_view source(reinterpret_cast<const char*>(data), size);
    const lathe::jinja::Template parsed(source, "fuzz");
    const lathe::jinja::Rendering rendering = parsed.render(context, options);
    for (const auto& [begin, end] : rendering.generated) {
      if (begin >= end || end > rendering.text.size()) __builtin_trap();
    }
  } catch (const lathe::jinja::Error&) {
  }
  return 0;
}
