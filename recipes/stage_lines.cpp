#include "recipes/stage_lines.h"

#include <algorithm>
#include <sstream>

#include "recipes/parts.h"
#include "trainer/agree.h"
#include "trainer/generate/generation_config.h"
#include "trainer/hf_folder.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

// Every rank's lines, in the order of their ids, on every rank.
JsonLines gather(Group& dp, const JsonLines& mine) {
  JsonLines all;
  for (const std::string& text : gather_bytes(dp, dump_lines(mine))) {
    for (Line& line : parse_lines(text)) all.push_back(std::move(line));
  }
  std::sort(all.begin(), all.end(), [](const Line& a, const Line& b) {
    return a["id"].get<int64_t>() < b["id"].get<int64_t>();
  });
  return all;
}

}  // namespace

std::string dump_lines(const JsonLines& lines) {
  std::string text;
  for (const Line& line : lines)
    text += line.dump(-1, ' ', false, Line::error_handler_t::replace) + "\n";
  return text;
}

JsonLines parse_lines(const std::string& text) {
  JsonLines lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(Line::parse(line));
  return lines;
}

Line messages_of(const std::vector<Message>& messages) {
  Line list = Line::array();
  for (const Message& message : messages)
    list.push_back({{"role", message.role}, {"content", message.content}});
  return list;
}

Conversation conversation_of(const Line& messages) {
  Conversation conversation;
  for (const Line& message : messages)
    conversation.messages.push_back(
        {message.at("role").get<std::string>(), message.at("content").get<std::string>()});
  return conversation;
}

std::vector<int64_t> ids_of(const StageContext& c, const Conversation& conversation,
                            bool generation_prompt) {
  const std::vector<int32_t> ids =
      c.tokenizer.encode(c.format.render(conversation, generation_prompt).text, false);
  return {ids.begin(), ids.end()};
}

uint64_t seed_of(const StageContext& c, int64_t id, const char* purpose) {
  const auto bits = philox(static_cast<uint64_t>(c.config.seed), static_cast<uint64_t>(id),
                           hash_name(purpose) + static_cast<uint64_t>(c.iteration));
  return uint64_t{bits[0]} << 32 | bits[1];
}

SamplingOptions sampling_of(const StageContext& c, const ModelConfig& model) {
  const SelfRewardConfig& config = c.config.self_reward;
  return {.max_new_tokens = config.max_new_tokens,
          .temperature = config.temperature,
          .top_p = config.top_p,
          .stop_ids = stop_ids_of(c.model_folder, model)};
}

Model& StageModels::get(const std::string& folder) {
  if (held_.model && folder == folder_) return *held_.model;
  let_go();
  const at::Device device = mesh_.device();
  held_ = freeze_model(open_model(folder, compute_dtype(config_.model.dtype, device), device,
                                  tensor_parallel(config_.parallel, mesh_)),
                       config_.parallel, mesh_);
  folder_ = folder;
  return *held_.model;
}

void StageModels::let_go() {
  held_.model.reset();
  held_.sharding.reset();
}

Group* meeting_of(const StageContext& c) { return meeting_of(c.config.parallel, c.mesh); }

JsonLines share(const StageContext& c,
                const std::function<JsonLines(const std::vector<size_t>&)>& make, size_t count,
                bool asks) {
  Group& dp = c.mesh.dp();
  std::vector<size_t> places;
  for (auto i = static_cast<size_t>(dp.rank()); i < count; i += static_cast<size_t>(dp.size()))
    places.push_back(i);
  // Passes through a model that is cut are collective: there, a rank that fails alone ends all.
  if (asks && (meeting_of(c) != nullptr || c.mesh.tp().size() > 1)) return gather(dp, make(places));
  JsonLines mine;
  together(c.mesh.world(), [&] { mine = make(places); });
  return gather(dp, mine);
}

}  // namespace lathe
