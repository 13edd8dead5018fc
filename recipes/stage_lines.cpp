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
JsonLines gather(Group& world, const JsonLines& mine) {
  JsonLines all;
  for (const std::string& text : gather_bytes(world, dump_lines(mine))) {
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

std::unique_ptr<Model> load_stage_model(const StageContext& c, const std::string& folder) {
  return load_model(folder, compute_dtype(c.config.model.dtype, c.world.device()),
                    c.world.device());
}

JsonLines share(const StageContext& c,
                const std::function<JsonLines(const std::vector<size_t>&)>& make, size_t count) {
  JsonLines mine;
  together(c.world, [&] {
    std::vector<size_t> places;
    for (auto i = static_cast<size_t>(c.world.rank()); i < count;
         i += static_cast<size_t>(c.world.size()))
      places.push_back(i);
    mine = make(places);
  });
  return gather(c.world, mine);
}

}  // namespace lathe
