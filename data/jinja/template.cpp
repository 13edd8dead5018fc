#include "data/jinja/template.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/jinja/evaluator.h"
#include "data/jinja/json.h"
#include "data/jinja/parser.h"

namespace lathe::jinja {
namespace {

bool generates(const Block& block) {
  return std::any_of(block.begin(), block.end(), [](const Statement& statement) {
    return statement.kind == Statement::Kind::Generation ||
           std::any_of(statement.bodies.begin(), statement.bodies.end(), generates);
  });
}

constexpr size_t kMaxSource = 4 << 20;

std::string_view checked_size(std::string_view source, const std::string& where) {
  if (source.size() > kMaxSource) throw Error(where, {}, "the template is larger than 4 MiB");
  return source;
}

}  // namespace

Template::Template(std::string_view source, std::string where)
    : where_(std::move(where)),
      block_(Parser(checked_size(source, where_), where_).parse()),
      has_generation_(generates(block_)) {}

Rendering Template::render(const nlohmann::ordered_json& context,
                           const RenderOptions& options) const {
  Evaluator evaluator(options);
  try {
    return evaluator.render(block_, from_json(context));
  } catch (const RaisedFault& raised) {
    throw Raised(where_, evaluator.at(), raised.what());
  } catch (const Fault& fault) {
    throw Error(where_, evaluator.at(), fault.what());
  }
}

}  // namespace lathe::jinja
