#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/jinja/template.h"

// Where the assistant speaks, found by what a template writes around every turn of it
// ("<|im_start|>assistant\n",
// "<|im_end|>\n"): for templates that write earlier turns differently once more follows, as Qwen3's
// does.
namespace lathe {

// Bytes [begin, end) of each assistant message in text, which is context rendered; the end of turn
// included. Throws std::invalid_argument where the landmarks do not tell for certain: there are
// none, a message holds one, or there are more or fewer than turns.
std::vector<std::pair<size_t, size_t>> find_turns_by_landmarks(
    const jinja::Template& source, const nlohmann::ordered_json& context,
    const jinja::RenderOptions& options, const std::string& text);

}  // namespace lathe
