#pragma once

#include <ctime>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/jinja/limits.h"
#include "data/jinja/syntax.h"

// A Jinja template as Hugging Face renders them: trim_blocks, lstrip_blocks, break and continue,
// the immutable sandbox,
// {% generation %}, tojson without escapes for HTML, raise_exception, strftime_now. Foreign
// templates are safe to run: they end within the limits, and what is not supported is an Error when
// the template is read.
namespace lathe::jinja {

struct RenderOptions {
  Limits limits;
  std::optional<std::tm> now;  // for strftime_now
};

struct Rendering {
  std::string text;
  std::vector<std::pair<size_t, size_t>>
      generated;  // bytes [begin, end) of the generation blocks, rising
  // A generation block ran inside a macro or a block whose text is collected: where it ends up is
  // not known.
  bool generated_apart = false;
};

class Template {
 public:
  // where: the source's name in messages. Throws Error.
  Template(std::string_view source, std::string where);
  // context: an object of all variables. Thread-safe. Throws Error, and Raised when the template
  // refuses the context.
  Rendering render(const nlohmann::ordered_json& context, const RenderOptions& options = {}) const;
  bool has_generation() const { return has_generation_; }
  const std::string& where() const { return where_; }

 private:
  std::string where_;
  Block block_;
  bool has_generation_ = false;
};

}  // namespace lathe::jinja
